// What the reader wants to see. Kept in the page's address, so that it can be shared and survives a reload.

import { langOf, type Row } from './row.ts'

export type KindName = '' | 'post' | 'change'

export interface Filter {
  readonly text: string
  readonly source: string
  readonly lang: string
  readonly kind: KindName
}

export const EVERYTHING: Filter = { text: '', source: '', lang: '', kind: '' }
export const KINDS: readonly KindName[] = ['post', 'change']

/**
 * The row as the filter leaves it, or nothing: a row of many changes keeps those that are wanted. Of the text all words
 * must occur; `is:post`, `is:change`, `from:<source>` and `in:<scope>` are words, too. Gaps concern everybody.
 */
export function narrowed(filter: Filter, row: Row): Row | undefined {
  if (row.kind === 'gap') return row
  if (filter.kind && row.kind !== filter.kind) return undefined
  if (filter.source && row.source !== filter.source) return undefined
  if (filter.lang && (row.kind !== 'post' || row.lang !== filter.lang)) return undefined
  const wanted = filter.text.toLowerCase().split(/\s+/).filter(Boolean)
  const words: string[] = []
  for (const word of wanted) {
    const fits = about(word, row)
    if (fits === false) return undefined
    if (fits === undefined) words.push(word)
  }
  if (words.length === 0) return row
  const has = (haystack: string): boolean => words.every((word) => haystack.includes(word))
  if (row.kind === 'post') return has(row.haystack) ? row : undefined
  const [first, ...rest] = row.changes.filter(({ haystack }) => has(haystack))
  if (!first) return undefined
  return rest.length + 1 === row.changes.length ? row : { ...row, at: first.at, changes: [first, ...rest] }
}

export function passes(filter: Filter, row: Row): boolean {
  return narrowed(filter, row) !== undefined
}

/** The word that finds a scope. */
export function inScope(scope: string): string {
  return `in:${oneWord(scope)}`
}

/** What a word says about a row's kind or origin; nothing for a word that is to be looked for in the text. */
function about(word: string, row: Exclude<Row, { kind: 'gap' }>): boolean | undefined {
  const [, what, value] = /^(is|in|from):(.*)$/.exec(word) ?? []
  if (value === undefined) return undefined
  if (what === 'is') return `${row.kind}s`.startsWith(value) // also while it is being typed
  if (value === '') return true
  return value === oneWord(what === 'from' ? row.source : row.kind === 'change' ? row.scope : '')
}

function oneWord(name: string): string {
  return name.toLowerCase().replaceAll(/\s+/g, '_')
}

/** Whether the reader asked for anything less than everything. */
export function narrows(filter: Filter): boolean {
  return toHash(filter) !== toHash(EVERYTHING)
}

export function toHash({ text, source, lang, kind }: Filter): string {
  const query = new URLSearchParams()
  if (text) query.set('q', text)
  if (source) query.set('src', source)
  if (lang) query.set('lang', lang)
  if (kind) query.set('show', kind)
  return query.size ? `#/?${query}` : '#/'
}

export function fromHash(hash: string): Filter {
  const query = new URLSearchParams(hash.replace(/^#\/?\??/, ''))
  const kind = KINDS.find((name) => name === query.get('show')) ?? ''
  return { text: query.get('q') ?? '', source: query.get('src') ?? '', lang: langOf(query.get('lang')), kind }
}
