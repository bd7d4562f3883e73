// What the feed shows: an event read once, distrusted, and brought into a form the view can draw as it is.

import type { CloudEvent, Gap, Lag } from '../client/client.d.ts'
import { whoseOf, type Whose } from './scrubs.ts'
import { cleanName, pieces, safeUrl, type Facet, type Piece } from './text.ts'
import { words } from './words.ts'

export interface Byline {
  readonly name: string
  /** With its @; empty where it says no more than the name. */
  readonly handle: string
  /** What finds the author in a filter. */
  readonly mention: string
  readonly url: string | undefined
  readonly initials: string
  /** 0…11, the same for the same author. */
  readonly hue: number
}

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

export type Row = PostRow | GapRow

export type Dict = Readonly<Record<string, unknown>>

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
  if (event.type === 'streamer.change') return change(event, data, source, now)
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
    kind: 'gap', key: `gap ${now}`, source: '', at: now, title: 'Some posts were missed', from: gap.from, to: gap.to, cause,
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

function change(event: CloudEvent, data: Dict, source: string, now: number): PostRow {
  const actor = typeof data['actor'] === 'string' ? { name: data['actor'] } : dict(data['actor'])
  const title = string(data['title'])
  const summary = string(data['summary'])
  const facets = title && safeUrl(data['url']) ? [{ start: 0, end: Array.from(title).length, kind: 'link', value: string(data['url']) }] : []
  const text = [title, summary].filter(Boolean).join('\n')
  const made = post(event, { id: event.id, author: actor, text, facets, url: data['url'], lang: data['lang'] }, source, now)
  return { ...made, body: made.body.map(({ host: _, ...piece }) => piece) }
}

function upstreamGap(event: CloudEvent, data: Dict, source: string, now: number): GapRow {
  const missed = data['missed']
  const count = typeof missed === 'number' && missed > 0 ? missed : undefined
  return {
    kind: 'gap', key: `gap ${source} ${event.id}`, source, at: time(event.time) ?? now, title: words.missed(count, data['filled'] === true),
    from: time(data['from']), to: time(data['to']), cause: words.gapCause(cleanName(string(data['cause']))),
  }
}

function byline(author: Dict, source: string): Byline {
  const bare = cleanName(string(author['handle'])).replace(/^@/, '')
  const name = cleanName(string(author['name'])) || bare || cleanName(string(author['id'])) || source
  const initials = Array.from(name.replace(/[^\p{L}\p{N}\s]/gu, '').trim() || name)
  const second = initials.indexOf(' ')
  return {
    name: Array.from(name).slice(0, 60).join(''),
    handle: bare && bare !== name ? `@${bare}` : '',
    mention: bare ? `@${bare}` : '',
    url: safeUrl(author['url'])?.href,
    initials: ((initials[0] ?? '?') + (second > 0 ? (initials[second + 1] ?? '') : '')).toUpperCase(),
    hue: hash(bare || name) % 12,
  }
}

function hash(text: string): number {
  let sum = 0
  for (const char of text) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) >>> 0
  return sum
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export function dict(value: unknown): Dict {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Dict) : {}
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function string(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}

const FURTHEST_MS = 8.64e15 // from the epoch, either way; a Date beyond is invalid, and throws when it is shown

/** RFC 3339 or ms since the epoch, to ms since the epoch. */
function time(value: unknown): number | undefined {
  const ms = typeof value === 'number' ? value : Date.parse(string(value))
  return Math.abs(ms) <= FURTHEST_MS ? ms : undefined
}
