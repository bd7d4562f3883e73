// What was done that is no post: a page edited, commits pushed. One line each, and many of one place fold into one row.

import type { CloudEvent } from '../client/client.d.ts'
import { byline } from './byline.ts'
import { dict, list, string, time, type Dict } from './reading.ts'
import { bodyText, cleanName, cut, foreignHost, safeUrl } from './text.ts'

export const MOST_FOLDED = 20 // changes in one row; an opened one then fills a screen or two

// Code points kept of what is shown in a line.
const MOST_WORD = 80
const MOST_TITLE = 300
const MOST_SUMMARY = 1_000
const LONG_SUMMARY = 160 // about what two lines hold

export interface Change {
  readonly key: string
  readonly at: number
  /** Empty where nobody says who did it. */
  readonly actor: string
  readonly actorUrl: string | undefined
  /** As the upstream calls it. */
  readonly action: string
  readonly title: string
  readonly url: string | undefined
  /** The host the title really leads to, where the title looks like another one. */
  readonly host: string
  readonly summary: string
  readonly long: boolean
  /** Lower case, what a filter looks through. */
  readonly haystack: string
}

export interface ChangeRow {
  readonly kind: 'change'
  readonly key: string
  readonly source: string
  /** The wiki, the repository, the feed; perhaps empty. */
  readonly scope: string
  readonly at: number
  /** At least one; the oldest first. It is the one to be seen, so that what is read does not change under the reader. */
  readonly changes: readonly [Change, ...Change[]]
}

export function changeRow(event: CloudEvent, data: Dict, source: string, now: number): ChangeRow {
  const actor = typeof data['actor'] === 'string' ? { name: data['actor'] } : dict(data['actor'])
  const { name, mention, url: actorUrl } = byline(actor, '')
  const scope = word(data['scope'])
  const action = word(data['action']).replaceAll(/[_-]/g, ' ')
  const url = safeUrl(data['url'])
  const title = word(data['title'], MOST_TITLE) || word(url && url.host + url.pathname, MOST_TITLE)
  const summary = cut(bodyText(string(data['summary'])), MOST_SUMMARY).replaceAll(/\s+/g, ' ').trim()
  const tags = list(data['tags']).map((tag) => `#${string(tag)}`)
  const key = `${source} ${event.id}`
  const at = time(data['created']) ?? time(event.time) ?? now
  const change: Change = {
    key, at, actor: name, actorUrl, action, title, url: url?.href, host: url ? foreignHost(title, url) : '', summary,
    long: summary.length > LONG_SUMMARY,
    haystack: [title, summary, name, mention, action, scope, source, ...tags].join('\n').toLowerCase(),
  }
  return { kind: 'change', key, source, scope, at, changes: [change] }
}

/**
 * Puts changes of one source and scope into one row, in the place of the oldest, whatever stands between them.
 * Rows that are full stay as they are, and a new one begins.
 */
export function fold<T extends { readonly kind: string }>(newestFirst: readonly (T | ChangeRow)[]): (T | ChangeRow)[] {
  const open = new Map<string, number>()
  const out: (T | ChangeRow)[] = []
  for (const row of newestFirst.toReversed()) {
    if (!isChange(row)) {
      out.push(row)
      continue
    }
    const place = `${row.source}\n${row.scope}`
    const at = open.get(place)
    const older = at === undefined ? undefined : (out[at] as ChangeRow)
    if (at !== undefined && older && older.changes.length + row.changes.length <= MOST_FOLDED) {
      out[at] = { ...older, changes: [...older.changes, ...row.changes] }
    } else {
      open.set(place, out.push(row) - 1)
    }
  }
  return out.reverse()
}

function isChange(row: { readonly kind: string }): row is ChangeRow {
  return row.kind === 'change'
}

function word(value: unknown, most = MOST_WORD): string {
  return cut(cleanName(string(value).slice(0, 10 * most)), most)
}
