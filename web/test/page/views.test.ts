import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { fromHash } from '../../src/model/filter.ts'
import { rowOf, type GapRow, type PostRow, type Row } from '../../src/model/row.ts'
import { words } from '../../src/model/words.ts'
import '../../src/page/live-feed.ts'
import type { LiveFeed } from '../../src/page/live-feed.ts'
import type { Session } from '../../src/page/session.ts'
import '../../src/page/source-list.ts'
import type { SourceList } from '../../src/page/source-list.ts'
import '../../src/page/tool-bar.ts'
import type { ToolBar } from '../../src/page/tool-bar.ts'
import '../../src/page/world-map.ts'
import type { WorldMap } from '../../src/page/world-map.ts'
import { changeEvent, cloudEvent, postEvent } from '../model/events.ts'
import { sessionOf } from './fake.ts'

let session: Session

beforeEach(() => void ({ session } = sessionOf()))
afterEach(() => document.body.replaceChildren())

async function put<View extends LiveFeed | SourceList | ToolBar | WorldMap>(name: string): Promise<View> {
  const view = document.createElement(name) as View
  view.session = session
  document.body.append(view)
  await view.updateComplete
  return view
}

const row = (id: string, more: object = {}): PostRow => ({ ...(rowOf(postEvent({ id, text: `post ${id}` }), 0) as PostRow), ...more })

describe('the feed', () => {
  it('draws the others where one row cannot be drawn, and counts that one as not shown', async () => {
    for (const one of [row('1'), row('bad', { at: 1e300 }), row('2')]) session.feed.add(one)
    session.feed.showAll()
    const feed = await put<LiveFeed>('live-feed')
    expect([...feed.querySelectorAll('article')].map((article) => article.dataset['key'])).toEqual(['birds 2', 'birds 1'])
    expect(session.feed.ledger).toMatchObject({ balanced: true, shown: 2, notShown: 1 })
    expect(session.feed.rows).toHaveLength(2)
  })

  it('waits for the first post unless a filter is set', async () => {
    session.feed.filter = fromHash('#/')
    const feed = await put<LiveFeed>('live-feed')
    expect(feed.querySelector('.empty')?.textContent).toBe(words.waiting)
    session.feed.filter = fromHash('#/?q=x')
    feed.requestUpdate()
    await feed.updateComplete
    expect(feed.querySelector('.empty')?.textContent).toBe(words.noneMatch)
  })

  it('shows what was chosen, and lets it be undone', async () => {
    session.feed.filter = fromHash('#/?lang=fr&src=demo&q=x')
    const feed = await put<LiveFeed>('live-feed')
    const told = vi.fn()
    feed.addEventListener('filter', (event) => told((event as CustomEvent).detail))
    const chip = feed.querySelector<HTMLButtonElement>('.chip')
    expect(chip?.querySelector('bdi')?.textContent).toBe('fr · demo')
    chip?.click()
    expect(told).toHaveBeenCalledWith({ source: '', lang: '', kind: '' })
    session.feed.filter = fromHash('#/?q=x')
    feed.requestUpdate()
    await feed.updateComplete
    expect(feed.querySelector('.chip')).toBeNull()
  })

  it('tells what a source missed in a quiet line of its own', async () => {
    const to = Date.now()
    const data = { from: new Date(to - 120_000).toISOString(), to: new Date(to).toISOString(), cause: 'stall', filled: false, missed: 3 }
    session.feed.add(rowOf(cloudEvent('streamer.gap', 'gap.birds', data), 0) as GapRow)
    session.showAll()
    const line = (await put<LiveFeed>('live-feed')).querySelector('article.divider')
    expect(line?.querySelector('p')?.textContent).toBe(`${words.gapSpan(to - 120_000, to, to)}: 3 missed, connection stalled`)
    expect(line?.querySelector('.source')?.textContent).toBe('birds')
    expect(line?.getAttribute('aria-label')).toBe('Gap in birds')
  })

  it('keeps the host of a link apart from the text around it', async () => {
    const facets = [{ start: 0, end: 4, kind: 'link', value: 'https://evil.example/' }]
    session.feed.add(rowOf(postEvent({ text: 'bank', facets }), 0) as PostRow)
    session.feed.showAll()
    expect((await put<LiveFeed>('live-feed')).querySelector('bdi.host')?.textContent).toBe('(evil.example)')
  })
})

describe('a change', () => {
  const edit = (id: number, more: object = {}) =>
    session.feed.add(rowOf(changeEvent(id, {
      scope: 'en.wikipedia.org', title: `Page ${id}`, url: `https://en.wikipedia.org/wiki/${id}`, actor: { id: '7', name: 'Ana', url: 'https://en.wikipedia.org/wiki/User:Ana' },
      summary: 'typo', ...more,
    }), 0) as Row)

  async function shown(): Promise<{ feed: LiveFeed; article: HTMLElement }> {
    session.showAll()
    const feed = await put<LiveFeed>('live-feed')
    return { feed, article: feed.querySelector<HTMLElement>('article.change') as HTMLElement }
  }

  it('says who did what where, and leads there without a trace', async () => {
    edit(1)
    const { article } = await shown()
    expect(article.getAttribute('aria-label')).toBe('Ana: edit Page 1 en.wikipedia.org')
    expect(article.querySelector('.did')?.textContent.replaceAll(/\s+/g, ' ').trim()).toMatch(/^Ana edit Page 1 /)
    expect([...article.querySelectorAll('a')].map((a) => [a.textContent, a.getAttribute('href'), a.getAttribute('rel')])).toEqual([
      ['Ana', 'https://en.wikipedia.org/wiki/User:Ana', 'noopener noreferrer nofollow ugc'],
      ['Page 1', 'https://en.wikipedia.org/wiki/1', 'noopener noreferrer nofollow ugc'],
      ['en.wikipedia.org', '#/?q=in%3Aen.wikipedia.org', null],
    ])
    expect(article.querySelector('.summary')?.getAttribute('dir')).toBe('auto')
    expect(article.querySelector('.source')?.textContent).toBe('wiki')
    expect(article.querySelector('button')).toBeNull()
  })

  it('without a title, a place or somebody who did it is shown as far as it goes', async () => {
    edit(1, { scope: undefined, title: undefined, url: undefined, actor: undefined, summary: undefined })
    const { article } = await shown()
    expect(article.getAttribute('aria-label')).toBe('edit')
    expect(article.querySelectorAll('a, .summary, .scope, .name')).toHaveLength(0)
  })

  it('opens where it stands for many, the newest first, and folds up again', async () => {
    for (const n of [1, 2, 3]) edit(n)
    const { feed, article } = await shown()
    const button = article.querySelector('button') as HTMLButtonElement
    const state = () => [button.textContent.trim(), button.getAttribute('aria-expanded'), article.querySelectorAll('.others li').length]
    expect(article.getAttribute('aria-label')).toBe('Ana: edit Page 1 en.wikipedia.org and 2 more')
    expect(state()).toEqual([words.others(2), 'false', 0])
    button.click()
    await feed.updateComplete
    expect(state()).toEqual([words.fewer, 'true', 2])
    expect([...article.querySelectorAll('.others .title')].map((title) => title.textContent)).toEqual(['Page 3', 'Page 2'])
    button.click()
    await feed.updateComplete
    expect(state()).toEqual([words.others(2), 'false', 0])
  })
})

describe('the list of sources', () => {
  it('names each, what it sends, and leads to it alone', async () => {
    const list = await put<SourceList>('source-list')
    expect(list.querySelector('.empty')?.textContent).toBe(words.noSources)
    session.sources.see('wiki', 'change', Date.now() - 65_000)
    session.sources.see('birds', 'post', Date.now())
    list.requestUpdate()
    await list.updateComplete
    expect([...list.querySelectorAll('li')].map((one) => one.textContent.split(/\s\s+/).map((part) => part.trim()))).toEqual([
      ['birds', 'posts', 'now'], ['wiki', 'changes', '1 min ago'],
    ])
    expect(list.querySelector('a')?.getAttribute('href')).toBe('#/?src=birds')
  })
})

describe('the map', () => {
  it('loses what was taken back even while it stands still', async () => {
    const { live, session: own } = sessionOf()
    session = own
    const spot = (post: string) =>
      cloudEvent('streamer.geo', 'geo.birds.nz', { lat: -41, lon: 174, precision: 'point', post, author: '7' }, 'birds', `geo:${post}`)
    live.events(...['9', '11'].map((post) => ({ ...spot(post), time: new Date().toISOString() })))
    const map = await put<WorldMap>('world-map')
    const seen = () => map.querySelectorAll('circle:not([data-step="0"])').length
    session.dispatchEvent(new Event('beat'))
    expect(seen()).toBe(2)
    session.holdFor('paused', true)
    live.events(cloudEvent('streamer.scrub', 'scrub.birds', { author: '7', up_to: '10' }))
    session.dispatchEvent(new Event('beat'))
    expect(seen()).toBe(1)
  })
})

describe('the menus', () => {
  it('tell what the filter is after the reader chose and the address changed', async () => {
    for (const name of ['demo', 'birds']) session.sources.see(name, 'post', 0)
    const bar = await put<ToolBar>('tool-bar')
    const menu = bar.querySelector<HTMLSelectElement>('select[name=source]') as HTMLSelectElement
    const text = bar.querySelector<HTMLInputElement>('input[name=text]') as HTMLInputElement
    const drawn = async (hash: string) => {
      session.feed.filter = fromHash(hash)
      bar.requestUpdate()
      await bar.updateComplete
      return [menu.value, text.value]
    }
    expect(menu.value).toBe('')
    menu.value = 'demo'
    text.value = 'typed'
    expect(await drawn('#/')).toEqual(['', ''])
    expect(await drawn('#/?src=demo')).toEqual(['demo', ''])
    menu.value = 'birds'
    expect(await drawn('#/?src=demo')).toEqual(['demo', ''])
    expect(await drawn('#/?q=x&lang=en-ab-cd')).toEqual(['', 'x'])
  })

  it('offer kinds only where there is more than one, or one was asked for', async () => {
    const bar = await put<ToolBar>('tool-bar')
    const kind = async () => {
      bar.requestUpdate()
      await bar.updateComplete
      return bar.querySelector<HTMLSelectElement>('select[name=kind]')?.value
    }
    session.sources.see('birds', 'post', 0)
    expect(await kind()).toBeUndefined()
    session.feed.filter = fromHash('#/?show=change')
    expect(await kind()).toBeDefined()
    expect(await kind()).toBe('change')
    session.feed.filter = fromHash('#/')
    expect(await kind()).toBeUndefined()
    session.sources.see('wiki', 'change', 0)
    expect(await kind()).toBeDefined()
    expect(await kind()).toBe('')
  })

  it('are folded and unfolded by a button', async () => {
    const bar = await put<ToolBar>('tool-bar')
    const button = bar.querySelector<HTMLButtonElement>('.unfold')
    const state = () => [button?.getAttribute('aria-expanded'), bar.querySelector<HTMLElement>('#choices')?.dataset['open']]
    expect(state()).toEqual(['false', 'no'])
    button?.click()
    await bar.updateComplete
    expect(state()).toEqual(['true', 'yes'])
  })
})
