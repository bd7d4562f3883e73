import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { CloudEvent } from '../../src/client/client.d.ts'
import { changeEvent, cloudEvent, postEvent } from '../model/events.ts'
import { sessionOf } from './fake.ts'

const NOW = Date.parse('2026-11-21T04:10:30.000Z')

beforeEach(() => void vi.useFakeTimers({ now: NOW }))
afterEach(() => void vi.useRealTimers())

const geo = (post: string, time: string | undefined): CloudEvent => {
  const event = cloudEvent('streamer.geo', 'geo.birds.nz', { lat: -41, lon: 174, precision: 'point', post })
  return { ...event, time: time as string }
}

describe('places of history', () => {
  it('count for when they were posted, and not at all when that is long ago', () => {
    const { live, session } = sessionOf()
    live.events(geo('1', '2026-11-21T03:00:00.000Z'), geo('2', '2026-11-21T04:03:00.000Z'), geo('3', undefined), geo('4', 'no time'))
    expect(session.places.ranked(NOW)).toEqual([{ country: 'NZ', count: 3 }])
    expect(session.blips.slots.filter(Boolean).map((blip) => blip?.spot.key)).toEqual(['birds 2', 'birds 3', 'birds 4'])
    expect(session.places.ranked(NOW + 5 * 60_000)).toEqual([{ country: 'NZ', count: 2 }])
  })

  it('are judged by the relay’s clock where this device’s is wrong', () => {
    const { live, session } = sessionOf()
    session.pulse.clock(new Date(NOW - 3_600_000).toUTCString(), NOW)
    live.events(geo('1', '2026-11-21T03:09:00.000Z'))
    expect(session.places.ranked(NOW)).toEqual([{ country: 'NZ', count: 1 }])
  })
})

describe('a scrub', () => {
  const scrub = cloudEvent('streamer.scrub', 'scrub.birds', { author: '7', up_to: '10' })
  const events = (post: string): CloudEvent[] => [
    cloudEvent('streamer.geo', 'geo.birds.nz', { lat: -41, lon: 174, precision: 'point', post, author: '7' }, 'birds', `geo:${post}`),
    postEvent({ id: post, author: { id: '7' }, geo: { name: 'Queenstown' } }),
  ]

  it.each(['before', 'after'])('takes places from map and feed when it comes %s them', (when) => {
    const { live, session } = sessionOf()
    const located = [...events('9'), ...events('11')].map((event) => ({ ...event, time: new Date(NOW).toISOString() }))
    live.events(...(when === 'before' ? [scrub, ...located] : [...located, scrub]))
    session.showAll()
    expect(session.blips.slots.flatMap((blip) => blip?.spot.key ?? [])).toEqual(['birds 11'])
    expect(session.feed.rows).toMatchObject([{ key: 'birds 11', place: 'Queenstown' }, { key: 'birds 9', place: '' }])
    expect(session.feed.ledger).toMatchObject({ balanced: true, sent: 2, shown: 2 })
  })
})

describe('a deletion', () => {
  it.each(['before', 'after'])('takes a post from map and feed when it comes %s its events', (when) => {
    const { live, session } = sessionOf()
    const gone = cloudEvent('streamer.delete', 'delete.birds', { id: '9' })
    const events = [
      cloudEvent('streamer.geo', 'geo.birds.nz', { lat: -41, lon: 174, precision: 'point', post: '9' }, 'birds', 'geo:9'),
      postEvent({ id: '9' }),
    ].map((event) => ({ ...event, time: new Date(NOW).toISOString() }))
    live.events(...(when === 'before' ? [gone, ...events] : [...events, gone]))
    session.showAll()
    expect(session.blips.slots.filter(Boolean)).toEqual([])
    expect(session.feed.rows).toEqual([])
  })
})

describe('what screen readers are told', () => {
  it('after a loss of connection is at once that it is back, and what was missed', () => {
    const { live, session } = sessionOf()
    live.enter('live')
    expect(session.announcer.text).toBe('Live')
    vi.advanceTimersByTime(20_000)
    live.enter('offline')
    expect(session.announcer.text).toMatch(/^Offline since/)
    vi.advanceTimersByTime(3000)
    live.enter('offline', 'catching-up')
    live.gap({ reason: 'expired' })
    live.enter('live')
    expect(session.announcer.text).toBe('Live. Some events were missed')
  })

  it('after a short one waits its turn', () => {
    const { live, session } = sessionOf()
    live.enter('live')
    session.holdFor('paused', true)
    live.enter('connecting', 'catching-up', 'live')
    expect(session.announcer.text).toBe('Paused')
  })
})

describe('the sources', () => {
  it('are listed with what they send and when they last did, by this device’s clock', () => {
    const { live, session } = sessionOf()
    const received = (event: CloudEvent, ms: number): CloudEvent => ({ ...event, received: new Date(ms).toISOString() })
    live.events(
      received(postEvent({}, 'birds'), NOW - 60_000), received(changeEvent(1, {}, 'wiki'), NOW - 5_000), received(changeEvent(2, {}, 'wiki'), NOW - 9_000),
      received(changeEvent(3, {}, 'birds'), NOW + 60_000), changeEvent(4, {}, 'hooks'),
    )
    expect(session.sources.listed).toEqual([
      { name: 'birds', posts: true, changes: true, at: NOW },
      { name: 'hooks', posts: false, changes: true, at: NOW },
      { name: 'wiki', posts: false, changes: true, at: NOW - 5_000 },
    ])
    for (let n = 0; n < 100; n++) live.events(postEvent({}, `more ${n}`))
    expect(session.sources.listed).toHaveLength(40)
  })
})

describe('an event of any shape', () => {
  it('stops nothing, and is accounted for', () => {
    const { live, session } = sessionOf()
    const unreadable = { ...postEvent({}), get data(): unknown { throw new Error('unreadable') } }
    for (const type of ['streamer.post', 'streamer.change', 'streamer.geo', 'streamer.delete', 'streamer.scrub', 'streamer.gap']) {
      for (const data of [null, 7, 'x', []]) live.events(cloudEvent(type, 'x.birds', data as never))
    }
    const { sent } = session.feed.ledger
    live.events(unreadable, postEvent({ id: 'after' }))
    expect(session.feed.ledger).toMatchObject({ balanced: true, sent: sent + 2 })
    session.showAll()
    expect(session.feed.rows.map(({ key }) => key)).toContain('birds after')
  })
})
