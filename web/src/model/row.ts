// What the feed shows: an event read once, distrusted, and brought into a form the view can draw as it is.

import type { CloudEvent, Gap, Lag } from '../client/client.d.ts'
import { byline, type Byline } from './byline.ts'
import { changeRow, type ChangeRow } from './change.ts'
import { dict, list, string, time, type Dict } from './reading.ts'
import { whoseOf, type Whose } from './scrubs.ts'
import { cleanName, pieces, safeUrl, type Facet, type Piece } from './text.ts'
import { words } from './words.ts'

export interface PostRow {
  readonly kind: 'post'
  readonly key: string
  readonly source: string
  readonly at: number
  readonly author: Byline
  readonly body: readonly Piece[]
  readonly url: string | undefined
  readonly lang: string
  readonly place: string
  readonly whose: Whose
  readonly reply: boolean
  readonly sensitive: boolean
  readonly media: number
  readonly long: boolean
  /** Lower case, what a filter looks through; its first line is the place. */
  readonly haystack: string
}

export interface GapRow {
  readonly kind: 'gap'
  readonly key: string
  /** Empty where it is not the source's gap but this reader's. */
  readonly source: string
  readonly at: number
  readonly title: string
  readonly from: number | undefined
  readonly to: number | undefined
  readonly cause: string
}

export type Row = PostRow | ChangeRow | GapRow

const LONG_CHARACTERS = 700
const LONG_LINES = 12

export function sourceOf(event: CloudEvent): string {
  return cleanName(decode(event.source.split('/').at(-1) ?? '')) || '?'
}

/** A language tag, or empty if it does not look like one. */
export function langOf(value: unknown): string {
  return typeof value === 'string' && /^[a-z]{2,3}(-[a-z0-9]{2,8})*$/i.test(value) ? value : ''
}

/** What names a post in every list and buffer, so that a delete finds it. */
export function keyOf(source: string, id: unknown): string {
  return `${source} ${String(id)}`
}

/** The row for an event, or nothing if the feed does not show its type. */
export function rowOf(event: CloudEvent, now: number): Row | undefined {
  const data = dict(event.data)
  const source = sourceOf(event)
  if (event.type === 'streamer.post') return post(event, data, source, now)
  if (event.type === 'streamer.change') return changeRow(event, data, source, now)
  if (event.type === 'streamer.gap') return upstreamGap(event, data, source, now)
  return undefined
}

/** The same post without where it was written: its author took that back. */
export function placeless(row: PostRow): PostRow {
  if (row.place === '') return row
  return { ...row, place: '', haystack: row.haystack.slice(row.haystack.indexOf('\n')) }
}

export function lagRow(lag: Lag, now: number): GapRow {
  const title = `${lag.skipped.toLocaleString()} skipped`
  const cause = lag.why === 'slow' ? 'your connection is slow' : cleanName(lag.why)
  return { kind: 'gap', key: `lag ${now} ${lag.skipped}`, source: '', at: now, title, from: undefined, to: undefined, cause }
}

export function gapRow(gap: Gap, now: number): GapRow {
  const cause = gap.reason === 'expired' ? 'you were away longer than the relay remembers' : 'the relay began a new log'
  return {
    kind: 'gap', key: `gap ${now}`, source: '', at: now, title: words.someMissed, from: gap.from, to: gap.to, cause,
  }
}

function post(event: CloudEvent, data: Dict, source: string, now: number): PostRow {
  const text = string(data['text'])
  const author = byline(dict(data['author']), source)
  const tags = list(data['tags']).map(string)
  const place = cleanName(string(dict(data['geo'])['name']))
  return {
    kind: 'post',
    key: keyOf(source, data['id'] ?? event.id),
    source,
    at: time(data['created']) ?? time(event.time) ?? now,
    author,
    body: pieces(text, list(data['facets']) as Facet[]),
    url: safeUrl(data['url'])?.href,
    lang: langOf(data['lang']),
    place,
    whose: whoseOf(source, dict(data['author'])['id'], data['id']),
    reply: data['reply_to'] != null,
    sensitive: data['sensitive'] === true,
    media: list(data['media']).length,
    long: text.length > LONG_CHARACTERS || text.split('\n').length > LONG_LINES,
    haystack: [place, text, author.name, author.mention, source, ...tags.map((tag) => `#${tag}`)].join('\n').toLowerCase(),
  }
}

function upstreamGap(event: CloudEvent, data: Dict, source: string, now: number): GapRow {
  const missed = data['missed']
  const count = typeof missed === 'number' && missed > 0 ? missed : undefined
  return {
    kind: 'gap', key: `gap ${source} ${event.id}`, source, at: time(event.time) ?? now, title: words.missed(count, data['filled'] === true),
    from: time(data['from']), to: time(data['to']), cause: words.gapCause(cleanName(string(data['cause']))),
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
