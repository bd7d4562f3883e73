// Who wrote or did something, in a form the view can draw as it is.

import { string, type Dict } from './reading.ts'
import { cleanName, safeUrl } from './text.ts'

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

export function byline(author: Dict, source: string): Byline {
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
