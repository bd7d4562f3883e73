// What the reader wants to see. Kept in the page's address, so that it can be shared and survives a reload.

import { langOf, type Row } from './row.ts'

export interface Filter {
  readonly text: string
  readonly source: string
  readonly lang: string
}

export const EVERYTHING: Filter = { text: '', source: '', lang: '' }

/** All words of the text must occur; gaps concern everybody and always pass. */
export function passes(filter: Filter, row: Row): boolean {
  if (row.kind === 'gap') return true
  if (filter.source && row.source !== filter.source) return false
  if (filter.lang && row.lang !== filter.lang) return false
  return filter.text.toLowerCase().split(/\s+/).every((word) => row.haystack.includes(word))
}

/** Whether the reader asked for anything less than everything. */
export function narrows(filter: Filter): boolean {
  return toHash(filter) !== toHash(EVERYTHING)
}

export function toHash({ text, source, lang }: Filter): string {
  const query = new URLSearchParams()
  if (text) query.set('q', text)
  if (source) query.set('src', source)
  if (lang) query.set('lang', lang)
  return query.size ? `#/?${query}` : '#/'
}

export function fromHash(hash: string): Filter {
  const query = new URLSearchParams(hash.replace(/^#\/?\??/, ''))
  return { text: query.get('q') ?? '', source: query.get('src') ?? '', lang: langOf(query.get('lang')) }
}
