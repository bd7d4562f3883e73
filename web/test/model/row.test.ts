import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ChangeRow } from '../../src/model/change.ts'
import { rowOf, type GapRow, type PostRow } from '../../src/model/row.ts'
import { cleanName, pieces, safeUrl } from '../../src/model/text.ts'
import { words } from '../../src/model/words.ts'
import { changeEvent, cloudEvent, postEvent } from './events.ts'

const post = (data: object) => rowOf(postEvent(data), 0) as PostRow
const joined = (text: string, facets: object[]) => pieces(text, facets as never).map(({ text: t, host }) => t + (host ? ` (${host})` : '')).join('')

describe('facets', () => {
  it('count code points, so that an emoji before them moves nothing', () => {
    const text = '🦜🦜 see #birds now'
    expect(pieces(text, [{ start: 7, end: 13, kind: 'tag', value: 'birds' }])).toEqual([
      { kind: 'text', text: '🦜🦜 see ', target: '' },
      { kind: 'tag', text: '#birds', target: '#birds' },
      { kind: 'text', text: ' now', target: '' },
    ])
  })

  it.each(['javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'data:text/html,x', 'vbscript:x', 'file:///etc', 'blob:x', '//host', 'x'])(
    'that lead to %s stay text',
    (value) => expect(pieces('click', [{ start: 0, end: 5, kind: 'link', value }])).toEqual([{ kind: 'text', text: 'click', target: '' }]),
  )

  it('tell the host a link really leads to', () => {
    expect(pieces('bank.example', [{ start: 0, end: 12, kind: 'link', value: 'https://evil.example/' }])[0]).toMatchObject({ host: 'evil.example' })
    expect(pieces('https://t.example/x', [{ start: 0, end: 19, kind: 'link', value: 'https://t.example/x' }])[0]).not.toHaveProperty('host')
    expect(pieces('аpple', [{ start: 0, end: 5, kind: 'link', value: 'https://аpple.example' }])[0]).toMatchObject({ host: expect.stringMatching(/^xn--/) })
  })

  it.each([
    ['https://mybank.example/?x=evil.example', 'https://evil.example/login', 'evil.example'],
    ['https://mybank.example/evil.example', 'https://evil.example/', 'evil.example'],
    ['mybank.example#evil.example', 'https://evil.example/', 'evil.example'],
    ['notevil.example', 'https://evil.example/', 'evil.example'],
    ['https://mybank.example@evil.example/', 'https://evil.example/', 'evil.example'],
    ['https://mybank.example\\evil.example', 'https://evil.example/', 'evil.example'],
    ['https://аpple.example/', 'https://аpple.example/', expect.stringMatching(/^xn--/)],
    ['see evil.example', 'https://evil.example/', 'evil.example'],
    ['Evil.example/log…', 'https://www.evil.example/login', undefined],
    ['http://www.evil.example:8080?a', 'http://evil.example:8080/?a', undefined],
  ])('%s that leads to %s tells: %s', (text, value, host) =>
    expect(pieces(text, [{ start: 0, end: Array.from(text).length, kind: 'link', value }])[0]?.host).toEqual(host))

  it('that overlap, point outside or are no facets are left out, and no text is lost', () => {
    const text = 'abcdef'
    const odd = [
      { start: 0, end: 3, kind: 'tag', value: 'abc' }, { start: 2, end: 4, kind: 'tag', value: 'x' }, { start: 4, end: 99, kind: 'tag', value: 'x' },
      { start: -1, end: 2, kind: 'tag', value: 'x' }, { start: 5, end: 5, kind: 'tag', value: 'x' }, { start: 4, end: 5, kind: 'tag', value: 7 },
      { start: 1.5, end: 2, kind: 'tag', value: 'x' }, { start: 4, end: 5, kind: 'blink', value: 'x' },
    ]
    expect(joined(text, odd)).toBe(text)
    expect(pieces(text, odd as never)).toHaveLength(2)
  })

  it('never lose or invent text, wherever they point', () => {
    const text = 'né 🦜 کاکاپو #x'
    const length = Array.from(text).length
    for (let start = -1; start <= length; start++) {
      for (let end = start; end <= length + 1; end++) {
        expect(joined(text, [{ start, end, kind: 'mention', value: 'm' }])).toBe(text)
      }
    }
  })
})

describe('texts', () => {
  it('lose control characters and towers of blank lines, and are cut when they have no end', () => {
    expect(pieces('a\u0000b\u0007c\n\n\n\n\nd', [])).toEqual([{ kind: 'text', text: 'abc\n\nd', target: '' }])
    const [piece] = pieces('x'.repeat(5_000_000), [])
    expect(piece?.text).toHaveLength(5001)
  })

  it('of names lose what would turn their neighbours around', () => {
    expect(cleanName('Old\u202Etxt\u202C \u2066x\u2069\u0000\n\u009f')).toBe('Old txt x'.replace(' txt', 'txt'))
  })

  it('keep right-to-left text and joiners whole', () => {
    expect(pieces('می‌خواهم 👩‍🚀', []).map(({ text }) => text).join('')).toBe('می‌خواهم 👩‍🚀')
  })
})

describe('a post', () => {
  it('is read with all that it has', () => {
    const row = post({
      id: '15', url: 'https://x.example/15', text: 'hi', lang: 'en', created: '2026-11-21T03:59:59.000Z', reply_to: '3', sensitive: true,
      author: { id: '9', handle: 'aroha', name: 'Aroha Tamati', url: 'https://x.example/aroha' },
      media: [{ kind: 'photo' }], geo: { lat: 1, lon: 2, name: 'Lisbon' },
    })
    expect(row).toMatchObject({
      key: 'birds 15', source: 'birds', url: 'https://x.example/15', lang: 'en', place: 'Lisbon', reply: true, sensitive: true, media: 1,
      at: Date.parse('2026-11-21T03:59:59.000Z'),
      author: { name: 'Aroha Tamati', handle: '@aroha', url: 'https://x.example/aroha', initials: 'AT' },
    })
  })

  it.each([
    null, 7, [], {}, { text: 7 }, { author: 'x', facets: 'x', tags: {}, media: null, geo: [] }, { author: { name: {} } }, { url: 'javascript:1' },
    { text: '\ud800', lang: '"><script>' }, { facets: [null] }, { created: 'no' }, { created: 1e300 }, { created: -8.65e15 },
  ])('of any shape makes a row: %j', (data) => {
    const row = rowOf({ ...postEvent({}), data }, 42) as PostRow
    expect(row).toMatchObject({ kind: 'post', url: undefined, lang: '' })
    expect(row.at).toBe(Date.parse('2026-11-21T04:00:00.000Z'))
    expect(() => new Date(row.at).toISOString()).not.toThrow()
    expect(row.author.name).not.toBe('')
  })

  it('of an unknown type is not shown', () => {
    expect(rowOf(cloudEvent('streamer.trend', 'trend.10m', {}), 0)).toBeUndefined()
  })
})

describe('a change', () => {
  const change = (data: object) => (rowOf(changeEvent(1, data), 42) as ChangeRow)
  const one = (data: object) => change(data).changes[0]

  it('is read with all that it has, and named after its event', () => {
    const row = change({
      action: 'pull_request-review', scope: 'octo/repo', title: 'Kākāpō', url: 'https://wiki.example/k', summary: 'typo\n  fixed', tags: ['minor'],
      actor: { id: '9', handle: 'ana', name: 'Ana T', url: 'https://wiki.example/ana' }, created: '2026-11-21T03:59:59.000Z',
    })
    expect(row).toMatchObject({ kind: 'change', key: 'wiki change:1', source: 'wiki', scope: 'octo/repo', at: Date.parse('2026-11-21T03:59:59.000Z') })
    expect(row.changes).toEqual([{
      key: 'wiki change:1', at: row.at, actor: 'Ana T', actorUrl: 'https://wiki.example/ana', action: 'pull request review', title: 'Kākāpō',
      url: 'https://wiki.example/k', host: '', summary: 'typo fixed', long: false,
      haystack: 'kākāpō\ntypo fixed\nana t\n@ana\npull request review\nocto/repo\nwiki\n#minor',
    }])
    expect(one({ actor: 'Ana' })).toMatchObject({ actor: 'Ana' })
  })

  it.each([
    null, 7, [], {}, { action: {}, scope: [], title: 7, url: 7, actor: 7, summary: {}, tags: 'x' }, { actor: { name: [] }, created: 1e300 },
    { title: '\ud800', url: 'javascript:alert(1)' }, { url: 'data:text/html,x' }, { tags: [null, {}] },
  ])('of any shape makes a row: %j', (data) => {
    const row = rowOf({ ...changeEvent(1, {}), data }, 42) as ChangeRow
    expect(row).toMatchObject({ kind: 'change', at: Date.parse('2026-11-21T04:00:00.000Z'), changes: [{ url: undefined, actorUrl: undefined }] })
  })

  it('that names nothing is called by its address', () => {
    expect(one({ url: 'https://wiki.example/k?x=1' })).toMatchObject({ title: 'wiki.example/k', host: '' })
  })

  it.each([
    ['Node.js', 'https://en.wikipedia.org/wiki/Node.js', 'en.wikipedia.org'], ['https://bank.example/login', 'https://evil.example/', 'evil.example'],
    ['www.bank.example', 'https://bank.example/', ''], ['A page about bank.example', 'https://evil.example/', ''], ['Kākāpō', 'https://evil.example/', ''],
    ['v1.2.0', 'https://www.github.com/x', ''], ['a.b.рф', 'https://www.github.com/x', 'github.com'], ['аpple.example', 'https://аpple.example/', expect.stringMatching(/^xn--/)],
  ])('called %s that leads to %s tells: %s', (title, url, host) => expect(one({ title, url }).host).toEqual(host))

  it('is cut where it has no end, between code points, and does not turn its neighbours around', () => {
    const endless = '🦜\u202e'.repeat(500_000)
    const row = change({ action: endless, scope: endless, title: endless, summary: endless, actor: { name: endless } })
    const { actor, action, title, summary } = row.changes[0]
    expect([row.scope, actor, action, title, summary].map((text) => Array.from(text).length)).toEqual([81, 60, 81, 301, 1001])
    for (const text of [row.scope, actor, action, title]) expect(text).toMatch(/^(🦜)+…?$/u)
    expect(summary).toMatch(/^(🦜\u202e)+…$/u)
  })
})

describe('other rows', () => {
  it('a gap tells source, span and cause', () => {
    const [from, to] = ['2026-11-21T03:00:00.000Z', '2026-11-21T03:02:00.000Z']
    const row = rowOf(cloudEvent('streamer.gap', 'gap.birds', { from, to, cause: 'stall', filled: false }), 0) as GapRow
    expect(row).toMatchObject({
      kind: 'gap', source: 'birds', title: 'missed', from: Date.parse(from), to: Date.parse(to), cause: 'connection stalled',
    })
  })

  it.each([
    [{ missed: 1 }, '1 missed'], [{ missed: 0 }, 'missed'], [{ missed: 'x' }, 'missed'], [{}, 'missed'],
    [{ filled: true, missed: 7 }, 'missed at first, fetched since'],
  ])('a gap with %j is said as: %s', (data, title) => {
    expect(rowOf(cloudEvent('streamer.gap', 'gap.birds', data), 0)).toMatchObject({ title })
  })

  it.each([
    ['limit', 'more than the source gives out'], ['restart', 'we were away'], ['too_slow-by_far', 'too slow by far'], ['toString', 'toString'], ['', ''],
  ])('the cause %j is said as %j', (cause, said) => {
    expect(rowOf(cloudEvent('streamer.gap', 'gap.birds', { cause }), 0)).toMatchObject({ cause: said })
  })

  it('a gap without end has no span', () => {
    const row = rowOf(cloudEvent('streamer.gap', 'gap.birds', { from: 1e300, to: 1e301 }), 0) as GapRow
    expect([row.from, row.to]).toEqual([undefined, undefined])
  })
})

describe('causes', () => {
  it('of every connection that ends have words of their own', () => {
    const table = readFileSync(join(import.meta.dirname, '../../../streamer/policy/backoff.py'), 'utf8')
    const causes = [...table.matchAll(/^[A-Z_]+ = "([a-z-]+)"$/gm)].map(([, cause]) => cause as string)
    expect(causes).toContain('stall')
    for (const cause of causes) expect(words.gapCause(cause)).not.toBe(cause.replaceAll('-', ' '))
  })
})

describe('spans', () => {
  const at = new Date(2026, 10, 21, 12, 3, 10).getTime() // noon where the reader is
  const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

  it('of today are told by the clock, the earlier end first', () => {
    const said = words.gapSpan(at, at + 120_000, at + 130_000)
    expect(said).toBe(clock.formatRange(at, at + 120_000))
    expect(said).toMatch(/12:03\D+12:05/)
    expect(words.gapSpan(at + 120_000, at, at + 130_000)).toBe(said)
  })

  it('within a minute are told by the second, and of another day by the date', () => {
    expect(words.gapSpan(at, at + 5_000, at)).toMatch(/12:03:10\D+12:03:15/)
    expect(words.gapSpan(at, at + 120_000, at + 2 * 86_400_000)).toMatch(/21.*12:03/)
  })
})

describe('names', () => {
  it.each(['en-ab-cd', 'xx-12', 'a b', ''])('of the language %j are at worst its code', (code) => expect(words.languageName(code)).toBe(code))
  it('of known languages and countries are names', () => {
    expect(words.languageName('pt')).toBe('Portuguese')
    expect(words.country('NZ')).toBe('New Zealand')
    expect(words.country('N2X')).toBe('N2X')
  })
})

describe('addresses', () => {
  it('are those of the web only', () => {
    expect(safeUrl('https://a.example/b')?.href).toBe('https://a.example/b')
    expect(safeUrl('http://a.example')?.href).toBe('http://a.example/')
    expect(safeUrl(7)).toBeUndefined()
  })
})
