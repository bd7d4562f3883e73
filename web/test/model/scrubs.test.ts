import { describe, expect, it } from 'vitest'
import { Blips } from '../../src/model/blips.ts'
import { EVERYTHING } from '../../src/model/filter.ts'
import { Feed } from '../../src/model/feed.ts'
import { placeless, rowOf, type PostRow } from '../../src/model/row.ts'
import { covers, scrubOf, Scrubs, whoseOf, type Scrub } from '../../src/model/scrubs.ts'
import { spotOf } from '../../src/model/spot.ts'
import { cloudEvent, postEvent } from './events.ts'

const scrub = (data: object): Scrub | undefined => scrubOf(cloudEvent('streamer.scrub', 'scrub.birds', data), 'birds')
const upTo = (id: unknown, author = '7') => scrub({ author, up_to: id }) as Scrub
const located = (id: string, author = '7', text = 'kea') =>
  rowOf(postEvent({ id, text, author: { id: author, name: 'Aroha' }, geo: { lat: -45, lon: 168, name: 'Queenstown' } }), 0) as PostRow

describe('a scrub', () => {
  it.each([
    ['9', '7', 'birds', true], ['10', '7', 'birds', true], ['11', '7', 'birds', false],
    ['9', '8', 'birds', false], ['9', '7', 'fish', false], ['at://x', '7', 'birds', true],
  ])('up to 10 of author 7 covers post %s of author %s of %s: %s', (post, author, source, expected) =>
    expect(covers(upTo('10'), whoseOf(source, author, post))).toBe(expected))

  it('compares ids that no double can tell apart', () => {
    expect(covers(upTo('1519000000000000001'), whoseOf('birds', '7', '1519000000000000002'))).toBe(false)
  })

  it('without a number covers all of the author', () => {
    for (const odd of [undefined, null, 7, 'x', '9'.repeat(31)]) expect(covers(upTo(odd), whoseOf('birds', '7', '99'))).toBe(true)
  })

  it('that names nobody is none, and what says not whose it is is never covered', () => {
    for (const odd of [null, 7, 'x', [], {}, { author: '' }, { author: 7 }]) expect(scrub(odd as never)).toBeUndefined()
    expect(covers(upTo('10'), whoseOf('birds', undefined, '9'))).toBe(false)
  })

  it('is remembered for what comes late, the furthest of each author, and of a thousand authors', () => {
    const scrubs = new Scrubs()
    scrubs.add(upTo('10'))
    scrubs.add(upTo('5'))
    expect([scrubs.cover(whoseOf('birds', '7', '10')), scrubs.cover(whoseOf('birds', '7', '11'))]).toEqual([true, false])
    for (let n = 0; n < 1000; n++) scrubs.add(upTo('10', `a${n}`))
    expect([scrubs.cover(whoseOf('birds', '7', '10')), scrubs.cover(whoseOf('birds', 'a0', '10'))]).toEqual([false, true])
  })
})

describe('a place that was taken back', () => {
  it('leaves the rest of its row, and what is found in it', () => {
    const row = placeless(located('1', '7', 'kea\nagain'))
    expect(row.place).toBe('')
    expect(row.haystack).not.toContain('queenstown')
    expect(row.haystack).toContain('kea\nagain')
    expect(placeless(row)).toBe(row)
  })

  it('goes from the rows that are shown and from those that wait', () => {
    const feed = new Feed()
    feed.add(located('1'))
    feed.flush()
    for (const row of [located('2'), located('11'), located('3', '8')]) feed.add(row)
    const before = feed.version
    feed.scrub(upTo('10'))
    expect(feed.version).toBeGreaterThan(before)
    feed.showAll()
    expect(feed.rows.map((row) => [row.key, (row as PostRow).place])).toEqual([
      ['birds 3', 'Queenstown'], ['birds 11', 'Queenstown'], ['birds 2', ''], ['birds 1', ''],
    ])
    expect(feed.ledger).toMatchObject({ balanced: true, shown: 4 })
    feed.filter = { ...EVERYTHING, text: 'queenstown' }
    expect(feed.rows).toHaveLength(2)
  })

  it('takes its blip from the map, and no other', () => {
    const blips = new Blips()
    for (const [post, author] of [['1', '7'], ['11', '7'], ['2', '8'], ['3', undefined]]) {
      const spot = spotOf(cloudEvent('streamer.geo', 'geo.birds.nz', { lat: -45, lon: 168, precision: 'point', post, author }))
      if (spot) blips.add(spot, 0)
    }
    blips.scrub(upTo('10'))
    expect(blips.slots.flatMap((blip) => blip?.spot.key ?? [])).toEqual(['birds 11', 'birds 2', 'birds 3'])
  })
})
