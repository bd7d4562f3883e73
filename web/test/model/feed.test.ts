import { describe, expect, it } from 'vitest'
import { EVERYTHING, fromHash, inScope, narrowed, narrows, passes, toHash, type Filter } from '../../src/model/filter.ts'
import { Feed, MOST_GAPS, MOST_ROWS, MOST_WAITING } from '../../src/model/feed.ts'
import { Flow } from '../../src/model/flow.ts'
import { Hold } from '../../src/model/hold.ts'
import { MOST_FOLDED, type ChangeRow } from '../../src/model/change.ts'
import { rowOf, type PostRow, type Row } from '../../src/model/row.ts'
import { Turns } from '../../src/model/turns.ts'
import { changeEvent, postEvent } from './events.ts'

function post(id: number | string, more: object = {}, source = 'birds'): PostRow {
  return rowOf(postEvent({ id: String(id), text: `post ${id}`, ...more }, source), 0) as PostRow
}

function change(id: number | string, scope = 'en.wikipedia.org', source = 'wiki', more: object = {}): ChangeRow {
  return rowOf(changeEvent(id, { scope, title: `Page ${id}`, ...more }, source), 0) as ChangeRow
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
      else if (dice < 0.605) for (let n = 0; n < 400; n++) told++, feed.add(change(`${step}-${n}`, `wiki ${n % 7}`))
      else if (dice < 0.63) told++, feed.add(change(Math.floor(random() * 60), `wiki ${Math.floor(random() * 3)}`))
      else if (dice < 0.65) feed.add({ ...gap, key: `gap ${step}` })
      else if (dice < 0.67) feed.scrub({ author: 'birds 7', upTo: BigInt(step) })
      else if (dice < 0.75) feed.remove(`birds ${Math.floor(random() * 60)}`)
      else if (dice < 0.78) told += 7, feed.ledger.lose(7)
      else if (dice < 0.82) feed.filter = [EVERYTHING, { ...EVERYTHING, lang: 'en' }, { ...EVERYTHING, text: 'is:change page 1' }][Math.floor(random() * 3)] ?? EVERYTHING
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

describe('turns', () => {
  const take = (turns: Turns, rows: readonly Row[], count: number) => turns.take(rows, count, ({ source }) => source).map(({ key }) => key)
  const loud = Array.from({ length: 9 }, (_, n) => post(n, {}, 'loud'))

  it('are taken by sources, and the order is kept', () => {
    expect(take(new Turns(), [...loud, post(1, {}, 'quiet')], 3)).toEqual(['loud 0', 'loud 1', 'quiet 1'])
  })

  it('go on from one call to the next, so that one at a time drowns nobody', () => {
    const turns = new Turns()
    const rows = [...loud, post(1, {}, 'quiet'), post(1, {}, 'still')]
    const taken = Array.from({ length: 6 }, () => take(turns, rows, 1)[0])
    expect(taken).toEqual(['loud 0', 'quiet 1', 'still 1', 'loud 0', 'quiet 1', 'still 1'])
  })
})

describe('changes', () => {
  const folded = (feed: Feed) => feed.rows.map((row) => (row.kind === 'change' ? `${row.scope} ${row.changes.length}` : row.key))

  it('of one source and scope fold into one row, in the place of the oldest', () => {
    const feed = new Feed()
    for (const row of [change(1), change(2, 'de.wikipedia.org'), change(3), change(3, 'en.wikipedia.org', 'other')]) feed.add(row)
    feed.showAll()
    expect(folded(feed)).toEqual(['en.wikipedia.org 1', 'de.wikipedia.org 1', 'en.wikipedia.org 2'])
    expect((feed.rows[2] as ChangeRow).changes.map(({ title }) => title)).toEqual(['Page 1', 'Page 3'])
    expect(feed.ledger).toMatchObject({ sent: 4, shown: 4, balanced: true })
  })

  it('join the row on top until it is full or a post came', () => {
    const feed = new Feed()
    feed.flow.name = 'all'
    const come = (row: Row) => (feed.add(row), feed.flush())
    for (let n = 0; n < MOST_FOLDED + 1; n++) come(change(n))
    expect(folded(feed)).toEqual(['en.wikipedia.org 1', `en.wikipedia.org ${MOST_FOLDED}`])
    come(post(1))
    come(change('next'))
    come(change('last'))
    expect(folded(feed)).toEqual(['en.wikipedia.org 2', 'birds 1', 'en.wikipedia.org 1', `en.wikipedia.org ${MOST_FOLDED}`])
  })

  it('that come twice are shown once', () => {
    const feed = new Feed()
    for (let time = 0; time < 2; time++) {
      for (const n of [1, 2, 2, 3]) feed.add(change(n))
      feed.showAll()
    }
    expect(folded(feed)).toEqual(['en.wikipedia.org 3'])
    expect(feed.ledger).toMatchObject({ sent: 8, shown: 3, notShown: 5, balanced: true })
  })

  it('of one page are all shown, whatever else has their id', () => {
    const feed = new Feed()
    for (const row of [change(1, 'a', 'wiki', { id: 'same' }), change(2, 'b', 'wiki', { id: 'same' }), post('same', {}, 'wiki')]) feed.add(row)
    feed.remove('wiki same')
    feed.showAll()
    expect(folded(feed)).toEqual(['b 1', 'a 1'])
  })

  it.each(['calm', 'slow'] as const)('take no more than their turn in a %s flow: posts have the others', (flow) => {
    const feed = new Feed()
    feed.flow.name = flow
    for (let n = 0; n < 100; n++) feed.add(post(`first ${n}`))
    feed.flush()
    const { length } = feed.rows
    for (let flush = 0; flush < 4 * 60; flush++) {
      for (let n = 0; n < 8; n++) feed.add(change(`${flush}-${n}`, `wiki ${flush} ${n}`)) // 32/s, and no two of one place
      feed.add(post(`p${flush}`))
      feed.flush()
    }
    const news = feed.rows.slice(0, feed.rows.length - length)
    const posts = news.filter(({ kind }) => kind === 'post').length
    expect(news.length).toBeGreaterThan(flow === 'calm' ? 90 : 15)
    expect(Math.abs(posts - news.length / 2)).toBeLessThanOrEqual(1)
    expect(feed.ledger.balanced).toBe(true)
  })

  it('never push out the half of the list that posts are in, nor of what waits', () => {
    const feed = new Feed()
    for (let n = 0; n < MOST_ROWS; n++) feed.add(post(n))
    feed.showAll()
    for (let n = 0; n < 3 * MOST_ROWS; n++) feed.add(change(n, `wiki ${n}`))
    feed.showAll()
    const posts = () => feed.rows.filter(({ kind }) => kind === 'post').length
    expect([feed.rows.length, posts()]).toEqual([MOST_ROWS, MOST_ROWS / 2])
    for (let n = 0; n < 40; n++) feed.add(post(`held ${n}`))
    for (let n = 0; n < 3 * MOST_WAITING; n++) feed.add(change(`more ${n}`))
    expect(feed.fresh).toBe(40 + 3 * MOST_WAITING)
    expect(feed.ledger.held).toBe(MOST_WAITING)
    feed.showAll()
    expect(keys(feed).filter((key) => key.startsWith('birds held'))).toHaveLength(40)
    expect(feed.ledger.balanced).toBe(true)
  })

  it('fill the list where nothing else wants the room', () => {
    const feed = new Feed()
    for (let n = 0; n < 2 * MOST_ROWS; n++) feed.add(change(n, `wiki ${n}`))
    feed.showAll()
    expect(feed.rows).toHaveLength(MOST_ROWS)
  })

  it('that cannot be drawn all count as not shown, also where the filter left some of them', () => {
    const feed = new Feed()
    for (const n of [1, 2, 3]) feed.add(change(n))
    feed.showAll()
    feed.filter = { ...EVERYTHING, text: '"page 2"'.replaceAll('"', '') }
    expect(feed.rows).toMatchObject([{ changes: [{ title: 'Page 2' }] }])
    feed.discard(feed.rows[0] as Row)
    feed.filter = EVERYTHING
    expect(feed.rows).toEqual([])
    expect(feed.ledger).toMatchObject({ shown: 0, notShown: 3, balanced: true })
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

  const edit = change(1, 'Some Repo', 'My Git', { summary: 'Typo', action: 'push', actor: { handle: 'ana' }, tags: ['minor'] })

  it.each<[string, boolean, boolean]>([
    ['is:post', true, false], ['is:posts', true, false], ['is:change', false, true], ['is:changes', false, true], ['is:p', true, false],
    ['is:', true, true], ['is:x', false, false], ['from:birds', true, false], ['from:my_git', false, true], ['from:', true, true],
    ['in:some_repo', false, true], ['IN:Some_Repo typo', false, true], ['in:some_repo booming', false, false], ['in:some', false, false],
    ['in:', true, true], ['@ana push #minor', false, true], ['at:noon', false, false],
  ])('of %s lets the post through: %s, the change: %s', (text, ofPost, ofChange) => {
    const filter = { ...EVERYTHING, text }
    expect([passes(filter, row), passes(filter, edit), passes(filter, gap)]).toEqual([ofPost, ofChange, true])
  })

  it('of a kind or a language lets only that through', () => {
    expect([passes({ ...EVERYTHING, kind: 'post' }, row), passes({ ...EVERYTHING, kind: 'post' }, edit)]).toEqual([true, false])
    expect([passes({ ...EVERYTHING, kind: 'change' }, row), passes({ ...EVERYTHING, kind: 'change' }, edit)]).toEqual([false, true])
    expect(passes({ ...EVERYTHING, lang: 'en' }, edit)).toBe(false)
  })

  it('leaves of a row of many changes those that it wants', () => {
    const [one, two] = [change(1, 'x'), change(2, 'x')]
    const both: ChangeRow = { ...one, changes: [...one.changes, ...two.changes] }
    expect(narrowed({ ...EVERYTHING, text: 'page' }, both)).toBe(both)
    expect(narrowed({ ...EVERYTHING, text: 'page 2' }, both)).toMatchObject({ key: one.key, changes: [{ title: 'Page 2' }] })
    expect(narrowed({ ...EVERYTHING, text: 'page 3' }, both)).toBeUndefined()
  })

  it('by scope is one word, whatever the scope', () => {
    expect(inScope('My  Deploys')).toBe('in:my_deploys')
    expect(passes({ ...EVERYTHING, text: inScope('My  Deploys') }, change(1, 'My Deploys'))).toBe(true)
  })

  it('survives the address', () => {
    const filter: Filter = { text: '#köln in:a&b more', source: 'a b', lang: 'pt', kind: 'change' }
    expect(fromHash(toHash(filter))).toEqual(filter)
    expect(fromHash('')).toEqual(EVERYTHING)
    expect(fromHash('#/?lang="><b>&src=x').lang).toBe('')
    expect(fromHash('#/?show=everything').kind).toBe('')
  })

  it('narrows only where something is asked for', () => {
    expect(narrows(fromHash('#/'))).toBe(false)
    expect(narrows(fromHash('#/?lang=fr'))).toBe(true)
  })
})
