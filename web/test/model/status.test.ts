import { describe, expect, it } from 'vitest'
import type { State } from '../../src/client/client.d.ts'
import { Announcer } from '../../src/model/announcer.ts'
import { Pulse } from '../../src/model/pulse.ts'
import { notice, status, type Facts } from '../../src/model/status.ts'
import { ago } from '../../src/model/words.ts'

const NOW = 1_800_000_000_000

function facts(state: Partial<State>, more: Partial<Facts> = {}): Facts {
  return { state: { name: 'live', since: NOW - 60_000, tries: 0, ...state }, hold: undefined, behindMs: undefined, now: NOW, ...more }
}

describe('the status', () => {
  it.each([
    [facts({ name: 'connecting', since: NOW - 100 }), 'wait', '', ''],
    [facts({ name: 'connecting' }), 'wait', 'Connecting…', ''],
    [facts({ name: 'catching-up' }), 'wait', 'Catching up…', ''],
    [facts({}), 'live', 'Live', ''],
    [facts({}, { behindMs: 412 }), 'live', 'Live', '0.4 s behind'],
    [facts({}, { behindMs: 12_000 }), 'slow', 'Behind', '12 s behind'],
    [facts({}, { hold: 'paused', behindMs: 12_000 }), 'held', 'Paused', ''],
    [facts({}, { hold: 'scrolled' }), 'held', 'Held', 'you scrolled down'],
    [facts({}, { hold: 'hidden' }), 'live', 'Live', ''],
    [facts({ name: 'stalled' }, { hold: 'paused' }), 'slow', 'No data', ''],
    [facts({ name: 'closed', code: 4003 }), 'ended', 'Disconnected', ''],
  ])('%# says %s %s', (given, tone, label, detail) => expect(status(given)).toEqual({ tone, label, detail }))

  it('of a lost connection tells since when, why, and when it is tried again', () => {
    const offline = facts({ name: 'offline', retryAt: NOW + 7200, cause: 'the connection was lost' })
    expect(notice(offline)).toEqual({ text: expect.stringMatching(/^Offline since .*: the connection was lost\. Next try in 8 s\.$/), action: 'retry' })
    expect(notice({ ...offline, now: NOW + 9000 })).toEqual({ text: expect.stringContaining('Trying now…') })
    expect(notice(facts({ name: 'closed', cause: 'this page is out of date; reload it' }))).toMatchObject({ action: 'reload' })
    expect(notice(facts({}))).toBeUndefined()
  })
})

describe('the pulse', () => {
  it('is the events of the last whole seconds', () => {
    const pulse = new Pulse()
    for (let ms = 0; ms < 5000; ms += 100) pulse.beat(NOW + ms, NaN)
    expect(pulse.rate(NOW + 5000)).toBe(10)
    expect(pulse.rate(NOW + 60_000)).toBe(0)
  })

  it('tells the median delay, by the relay’s clock where this device’s is wrong', () => {
    const pulse = new Pulse()
    pulse.clock(new Date(NOW - 3_600_000).toUTCString(), NOW)
    for (const age of [300, 400, 90_000]) pulse.beat(NOW, NOW - 3_600_000 - age)
    expect(pulse.behind(NOW)).toBe(400)
    expect(pulse.behind(NOW + 20_000)).toBeUndefined()
    pulse.clock(new Date(NOW).toUTCString(), NOW + 900)
    expect(pulse.skew).toBe(0)
    pulse.clock(null, NOW)
    expect(pulse.skew).toBe(0)
  })
})

describe('the announcer', () => {
  it('says at most two things in thirty seconds, and then the newest', () => {
    const announcer = new Announcer()
    const said = new Set<string>()
    for (let ms = 0; ms < 30_000; ms += 250) {
      announcer.say(`message ${ms}`, ms)
      announcer.tick(ms)
      said.add(announcer.text)
    }
    expect(said.size).toBe(2)
    announcer.say('Paused', 30_000, 'urgent')
    expect(announcer.text).toBe('Paused')
  })
})

describe('a loss', () => {
  it('is not pushed aside by news', () => {
    const announcer = new Announcer()
    announcer.say('Live', 0)
    announcer.say('Some events were missed', 1000, 'loss')
    announcer.say('Live', 1000)
    announcer.tick(15_000)
    expect(announcer.text).toBe('Some events were missed')
    announcer.say('Live', 15_000)
    expect(announcer.text).toBe('Some events were missed')
    announcer.tick(30_000)
    expect(announcer.text).toBe('Live')
  })

  it.each([1000, 60_000])('is said together with what cannot wait (%i ms after the last)', (ms) => {
    const announcer = new Announcer()
    announcer.say('Offline', 0, 'urgent')
    announcer.say('Some events were missed', ms, 'loss')
    announcer.say('Live', ms, 'urgent')
    expect(announcer.text).toBe('Live. Some events were missed')
    announcer.say('Paused', ms + 5000, 'urgent')
    expect(announcer.text).toBe('Paused')
  })
})

describe('how long ago', () => {
  it.each([[-5, 'now'], [4000, 'now'], [13_000, '10 s'], [61_000, '1 min'], [7_300_000, '2 h'], [200_000_000, '2 d']])('%i ms is %s', (ms, text) =>
    expect(ago(ms)).toBe(text))
})
