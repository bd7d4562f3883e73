// The feed behind the view: what is shown, what waits, and the account of both.

import { EVERYTHING, passes, type Filter } from './filter.ts'
import { Flow, sample } from './flow.ts'
import { Ledger } from './ledger.ts'
import { placeless, type Row } from './row.ts'
import { covers, type Scrub } from './scrubs.ts'

export const MOST_ROWS = 200
export const MOST_WAITING = 1000
export const MOST_GAPS = 20 // among the rows, and among those that wait; a broken source must not push the posts out
const MOST_DELETED = 1000 // keys remembered, for a delete can overtake its post
const FIRST_ROWS = 100 // until then the flow setting does not apply: an empty page helps nobody

export class Feed {
  readonly ledger = new Ledger()
  readonly flow = new Flow()
  filter: Filter = EVERYTHING
  /** Rises whenever `rows` changes. */
  version = 0
  /** Rows that arrived during this hold and no longer fit the buffer. */
  overflow = 0
  #rows: readonly Row[] = [] // newest first
  #waiting: Row[] = [] // newest last
  readonly #deleted = new Set<string>()

  /** Newest first, as the filter wants them. */
  get rows(): readonly Row[] {
    return this.#rows.filter((row) => passes(this.filter, row))
  }

  /** How many are new since the feed was held. */
  get fresh(): number {
    return this.ledger.held + this.overflow
  }

  add(row: Row): void {
    if (row.kind === 'gap') {
      const others = this.#waiting.filter((other) => other.key !== row.key)
      this.#waiting = fewGaps([row, ...others.reverse()]).reverse()
      this.#trim()
      return
    }
    this.ledger.arrive()
    if (this.#deleted.has(row.key) || !passes(this.filter, row)) return this.ledger.drop(1)
    const at = this.#waiting.findIndex((other) => other.key === row.key)
    if (at >= 0) {
      this.#waiting[at] = row
      return this.ledger.drop(1)
    }
    this.#waiting.push(row)
    this.#trim()
  }

  /** Whether a post was taken out, perhaps before all of its events came. */
  forgot(key: string): boolean {
    return this.#deleted.has(key)
  }

  /** Takes a post out of everything: upstream says it is gone. */
  remove(key: string): void {
    this.#deleted.add(key)
    if (this.#deleted.size > MOST_DELETED) this.#deleted.delete(this.#deleted.values().next().value as string)
    const before = this.#waiting.length
    this.#waiting = this.#waiting.filter((row) => row.key !== key)
    this.ledger.drop(before - this.#waiting.length)
    if (this.#rows.some((row) => row.key === key)) this.#put(this.#rows.filter((row) => row.key !== key))
  }

  /** Takes places out of everything: their author wants them forgotten. */
  scrub(scrub: Scrub): void {
    const clean = (row: Row): Row => (row.kind === 'post' && covers(scrub, row.whose) ? placeless(row) : row)
    this.#waiting = this.#waiting.map(clean)
    const rows = this.#rows.map(clean)
    if (rows.some((row, i) => row !== this.#rows[i])) this.#put(rows)
  }

  /** An event that could not be read: it is accounted for, and nothing else. */
  refuse(): void {
    this.ledger.arrive()
    this.ledger.drop(1)
  }

  /** Takes out a row that could not be drawn. */
  discard(row: Row): void {
    if (!this.#rows.includes(row)) return
    if (row.kind === 'post') this.ledger.unshow()
    this.#put(this.#rows.filter((other) => other !== row))
  }

  /** Moves what the flow allows from waiting to shown; call it `FLUSHES_PER_S` times a second while not held. */
  flush(): void {
    if (this.#waiting.length === 0) return void this.flow.allow(0)
    const room = Math.max(0, FIRST_ROWS - this.#rows.length)
    const posts = this.#waiting.filter((row) => row.kind === 'post').length
    this.#show(Math.max(room, this.flow.allow(posts)))
  }

  /** The reader asked for it: everything that waits, as far as the list holds it. */
  showAll(): void {
    this.#show(MOST_ROWS)
  }

  #show(count: number): void {
    const newestFirst = this.#waiting.toReversed()
    const chosen = sample(newestFirst.filter((row) => row.kind === 'post'), count)
    const keep = new Set<Row>(chosen)
    const fresh = newestFirst.filter((row) => row.kind === 'gap' || keep.has(row))
    const posts = newestFirst.reduce((sum, row) => sum + (row.kind === 'post' ? 1 : 0), 0)
    this.#waiting = []
    this.overflow = 0
    this.ledger.show(chosen.length)
    this.ledger.drop(posts - chosen.length)
    if (fresh.length === 0) return
    // A post that was edited stays where it is.
    const again = new Map(fresh.map((row) => [row.key, row]))
    const known = new Set(this.#rows.map((row) => row.key))
    const kept = this.#rows.map((row) => again.get(row.key) ?? row)
    this.#put(fewGaps([...fresh.filter((row) => !known.has(row.key)), ...kept]).slice(0, MOST_ROWS))
  }

  #trim(): void {
    while (this.#waiting.length > MOST_WAITING) {
      if (this.#waiting.shift()?.kind !== 'post') continue
      this.ledger.drop(1)
      this.overflow++
    }
  }

  #put(rows: readonly Row[]): void {
    this.#rows = rows
    this.version++
  }
}

/** The rows without the oldest gaps beyond what is kept of them. */
function fewGaps(newestFirst: readonly Row[]): Row[] {
  let gaps = 0
  return newestFirst.filter((row) => row.kind !== 'gap' || ++gaps <= MOST_GAPS)
}
