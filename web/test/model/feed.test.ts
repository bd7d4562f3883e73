import { describe, expect, it } from 'vitest'
import { EVERYTHING, fromHash, narrows, passes, toHash } from '../../src/model/filter.ts'
import { Feed, MOST_GAPS, MOST_ROWS, MOST_WAITING } from '../../src/model/feed.ts'
import { Flow, sample } from '../../src/model/flow.ts'
import { Hold } from '../../src/model/hold.ts'
import { rowOf, type PostRow, type Row } from '../../src/model/row.ts'
import { postEvent } from './events.ts'

function post(id: number | string, more: object = {}, source = 'birds'): PostRow {
  return rowOf(postEvent({ id: String(id), text: `post ${id}`, ...more }, source), 0) as PostRow
}

const gap: Row = { kind: 'gap', key: 'gap 1', source: '', at: 0, title: 'gap', from: 1, to: 2, cause: '' }
const keys = (feed: Feed) => feed.rows.map(({ key }) => key)

function numbers(seed: number): () => number {
  let state = seed
  return () => ((state = (state * 1_103_515_245 + 12_345) % 2 ** 31), state / 2 ** 31)
}

describe('the account', () => {
  it.each(Array.from({ length: 12 }, (_, seed) => seed))('balances whatever happens (%i)', (seed) => {
    const random = numbers(seed + 1)
    const feed = new Feed()
    let told = 0
    for (let step = 0; step < 400; step++) {
      const dice = random()
      if (dice < 0.03) for (let n = 0; n < MOST_WAITING * 0.6; n++) told++, feed.add(post(`${step}-${n}`))
      else if (dice < 0.6) told++, feed.add(post(Math.floor(random() * 60), { lang: random() < 0.5 ? 'en' : 'pt' }))
      else if (dice < 0.65) feed.add({ ...gap, key: `gap ${step}` })
      else if (dice < 0.67) feed.scrub({ author: 'birds 7', upTo: BigInt(step) })
      else if (dice < 0.75) feed.remove(`birds ${Math.floor(random() * 60)}`)
      else if (dice < 0.78) told += 7, feed.ledger.lose(7)
      else if (dice < 0.82) feed.filter = random() < 0.5 ? EVERYTHING : { ...EVERYTHING, lang: 'en' }
      else if (dice < 0.83) told++, feed.refuse()
      else if (dice < 0.835 && feed.rows[0]) feed.discard(feed.rows[0])
      else if (dice < 0.85) feed.flow.name = (['all', 'calm', 'slow'] as const)[Math.floor(random() * 3)] ?? 'all'
      else if (dice < 0.88) feed.showAll()
      else feed.flush()
      expect(feed.ledger).toMatchObject({ balanced: true, sent: told })
      expect(Math.min(feed.ledger.shown, feed.ledger.notShown, feed.ledger.held)).toBeGreaterThanOrEqual(0)
      expect(feed.ledger.held).toBeLessThanOrEqual(MOST_WAITING)
      expect(feed.rows.length).toBeLessThanOrEqual(MOST_ROWS)
      expect(new Set(keys(feed)).size).toBe(feed.rows.length)
    }
  })
})

describe('the feed', () => {
  it('shows the newest first and keeps the last 200', () => {
    const feed = new Feed()
    feed.flow.name = 'all'
    for (let n = 0; n < 15 * 20; n++) {
      feed.add(post(n))
      if (n % 15 === 14) feed.flush()
    }
    expect(feed.rows).toHaveLength(MOST_ROWS)
    expect(keys(feed).slice(0, 2)).toEqual(['birds 299', 'birds 298'])
    expect(feed.ledger).toMatchObject({ sent: 300, shown: 300 })
  })

  it('counts what no longer fits while it is held, and shows the newest of the rest', () => {
    const feed = new Feed()
    for (let n = 0; n < 1500; n++) feed.add(post(n))
    expect(feed.fresh).toBe(1500)
    expect(feed.ledger).toMatchObject({ held: 1000, notShown: 500 })
    feed.showAll()
    expect(feed.fresh).toBe(0)
    expect(keys(feed)[0]).toBe('birds 1499')
    expect(feed.ledger).toMatchObject({ shown: 200, notShown: 1300, held: 0 })
  })

  it('forgets a deleted post everywhere, also if the delete came first', () => {
    const feed = new Feed()
    feed.add(post(1))
    feed.flush()
    feed.add(post(2))
    feed.remove('birds 1')
    feed.remove('birds 2')
    feed.remove('birds 3')
    feed.add(post(3))
    feed.showAll()
    expect(feed.rows).toEqual([])
    expect(feed.ledger).toMatchObject({ sent: 3, shown: 1, notShown: 2 })
  })

  it('puts an edited post in the place of the old one', () => {
    const feed = new Feed()
    for (const n of [1, 2, 3]) feed.add(post(n))
    feed.flush()
    feed.add(post(2, { text: 'better' }))
    feed.flush()
    expect(keys(feed)).toEqual(['birds 3', 'birds 2', 'birds 1'])
    expect(feed.rows[1]).toMatchObject({ haystack: expect.stringContaining('better') })
  })

  it('shows gaps whatever the filter and the flow', () => {
    const feed = new Feed()
    feed.filter = { ...EVERYTHING, source: 'nobody' }
    feed.flow.name = 'slow'
    feed.add(post(1))
    feed.add(gap)
    feed.flush()
    expect(keys(feed)).toEqual(['gap 1'])
  })

  it('keeps the newest gaps, however many there are, and a repeated one once', () => {
    const feed = new Feed()
    feed.add(post(1))
    feed.flush()
    for (let n = 0; n < MOST_GAPS + 5; n++) feed.add({ ...gap, key: `gap ${n}` })
    feed.add({ ...gap, key: 'gap 9', title: 'again' })
    feed.flush()
    expect(feed.rows).toHaveLength(MOST_GAPS + 1)
    expect(keys(feed).slice(0, 2)).toEqual(['gap 9', `gap ${MOST_GAPS + 4}`])
    expect(keys(feed).at(-1)).toBe('birds 1')
    for (let n = 0; n < 2; n++) {
      feed.add({ ...gap, key: `later ${n}` })
      feed.flush()
    }
    expect(keys(feed).filter((key) => key.includes('gap') || key.includes('later'))).toHaveLength(MOST_GAPS)
    expect(keys(feed)[0]).toBe('later 1')
  })

  it('moves calmly when asked to, once the page is full', () => {
    const feed = new Feed()
    feed.flow.name = 'calm'
    for (let n = 0; n < 100; n++) feed.add(post(n))
    feed.flush()
    expect(feed.ledger.shown).toBe(100)
    for (let flush = 0; flush < 40; flush++) {
      for (let n = 0; n < 10; n++) feed.add(post(`${flush}-${n}`))
      feed.flush()
    }
    expect(feed.ledger.shown).toBe(100 + 20)
    expect(feed.ledger.notShown).toBe(380)
  })
})

describe('a calm flow', () => {
  it('shows a small burst whole after a quiet while, and two rows a second of a flood', () => {
    const flow = new Flow()
    for (let flush = 0; flush < 100; flush++) flow.allow(0)
    expect(flow.allow(8)).toBe(8)
    let shown = 0
    for (let flush = 0; flush < 4 * 60; flush++) shown += flow.allow(100)
    expect(shown).toBeGreaterThanOrEqual(120)
    expect(shown).toBeLessThanOrEqual(122)
  })
})

describe('a sample', () => {
  it('takes turns between sources and keeps the order', () => {
    const loud = Array.from({ length: 9 }, (_, n) => post(n, {}, 'loud'))
    const quiet = [post(1, {}, 'quiet')]
    const chosen = sample([...loud, ...quiet], 3)
    expect(chosen.map(({ key }) => key)).toEqual(['loud 0', 'loud 1', 'quiet 1'])
  })
})

describe('a hold', () => {
  it('lasts a moment longer than reading does, but ends at once with the button', () => {
    const hold = new Hold()
    hold.set('scrolled', true, 1000)
    hold.set('focus', true, 1000)
    expect(hold.cause).toBe('scrolled')
    hold.set('scrolled', false, 2000)
    hold.set('focus', false, 2000)
    expect(hold.holds(2599)).toBe(true)
    expect(hold.holds(2600)).toBe(false)
    hold.set('paused', true, 3000)
    hold.set('scrolled', true, 3000)
    hold.releaseReading()
    expect(hold.cause).toBe('paused')
    hold.set('paused', false, 4000)
    expect(hold.holds(4000)).toBe(false)
  })

  it('is not begun by ending what never was', () => {
    const hold = new Hold()
    hold.set('focus', false, 1000)
    expect(hold.holds(1000)).toBe(false)
  })
})

describe('a filter', () => {
  const row = post(1, { text: 'Two kakapo booming', tags: ['kakapo'], lang: 'en', author: { id: '7', handle: 'Aroha' } })

  it.each([
    ['', true], ['KAKAPO', true], ['#kakapo', true], ['@aroha', true], ['two booming', true], ['two owls', false],
  ])('of %s: %s', (text, expected) => expect(passes({ ...EVERYTHING, text }, row)).toBe(expected))

  it('survives the address', () => {
    const filter = { text: '#köln & more', source: 'a b', lang: 'pt' }
    expect(fromHash(toHash(filter))).toEqual(filter)
    expect(fromHash('')).toEqual(EVERYTHING)
    expect(fromHash('#/?lang="><b>&src=x').lang).toBe('')
  })

  it('narrows only where something is asked for', () => {
    expect(narrows(fromHash('#/'))).toBe(false)
    expect(narrows(fromHash('#/?lang=fr'))).toBe(true)
  })
})
