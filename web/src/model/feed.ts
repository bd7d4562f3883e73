// The feed behind the view: what is shown, what waits, and the account of both.

import { fold, type ChangeRow } from './change.ts'
import { EVERYTHING, narrowed, passes, type Filter } from './filter.ts'
import { Flow } from './flow.ts'
import { Ledger } from './ledger.ts'
import { placeless, type Row } from './row.ts'
import { covers, type Scrub } from './scrubs.ts'
import { Turns } from './turns.ts'

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
  readonly #turns = new Turns()
  readonly #changeTurns = new Turns()

  /** Newest first, as the filter wants them. */
  get rows(): readonly Row[] {
    return this.#rows.flatMap((row) => narrowed(this.filter, row) ?? [])
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
    const whole = this.#rows.find(({ key }) => key === row.key) // a filter may have left a part of it
    if (!whole) return
    this.ledger.unshow(events(whole))
    this.#put(this.#rows.filter((other) => other !== whole))
  }

  /** Moves what the flow allows from waiting to shown; call it `FLUSHES_PER_S` times a second while not held. */
  flush(): void {
    if (this.#waiting.length === 0) return void this.flow.allow(0)
    const room = Math.max(0, FIRST_ROWS - this.#rows.length)
    const rows = this.#ready()
    this.#show(rows, Math.max(room, this.flow.allow(rows.filter(({ kind }) => kind !== 'gap').length)))
  }

  /** The reader asked for it: everything that waits, as far as the list holds it. */
  showAll(): void {
    this.#show(this.#ready(), MOST_ROWS)
  }

  /** What waits, newest first and folded; a change that was shown before is none. */
  #ready(): Row[] {
    const known = new Set(this.#rows.flatMap((row) => (row.kind === 'change' ? row.changes.map(({ key }) => key) : [])))
    const fresh = this.#waiting.filter((row) => row.kind !== 'change' || !known.has(row.key))
    this.ledger.drop(this.#waiting.length - fresh.length)
    this.#waiting = fresh
    return fold(fresh.toReversed())
  }

  #show(rows: readonly Row[], count: number): void {
    const chosen = new Set<Row>(this.#choose(rows, count))
    const fresh = rows.filter((row) => row.kind === 'gap' || chosen.has(row))
    const shown = sum(fresh)
    this.#waiting = []
    this.overflow = 0
    this.ledger.show(shown)
    this.ledger.drop(sum(rows) - shown)
    if (fresh.length === 0) return
    // A post that was edited stays where it is.
    const again = new Map(fresh.map((row) => [row.key, row]))
    const known = new Set(this.#rows.map((row) => row.key))
    const kept = this.#rows.map((row) => again.get(row.key) ?? row)
    // New changes join those on top of the list, down to the newest post.
    const post = kept.findIndex(({ kind }) => kind === 'post')
    const run = post < 0 ? kept.length : post
    const top = fold([...fresh.filter((row) => !known.has(row.key)), ...kept.slice(0, run)])
    this.#put(fitting(fewGaps([...top, ...kept.slice(run)]).reverse(), MOST_ROWS).reverse())
  }

  /** Sources take turns, and all that send changes are one among those that send posts. */
  #choose(rows: readonly Row[], count: number): Row[] {
    const others = rows.filter(({ kind }) => kind !== 'gap')
    const chosen = this.#turns.take(others, count, ({ kind, source }) => (kind === 'change' ? 'changes' : `posts ${source}`))
    const changes = chosen.filter(isChange).length
    return [
      ...chosen.filter((row) => !isChange(row)),
      ...this.#changeTurns.take(others.filter(isChange), changes, ({ source }) => source),
    ]
  }

  #trim(): void {
    if (this.#waiting.length <= MOST_WAITING) return
    const before = sum(this.#waiting)
    this.#waiting = fitting(this.#waiting, MOST_WAITING)
    const lost = before - sum(this.#waiting)
    this.ledger.drop(lost)
    this.overflow += lost
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

/** The newest `most`; changes take more than half of them only where nothing else wants the room. */
function fitting(newestLast: readonly Row[], most: number): Row[] {
  const surplus = newestLast.length - most
  let changes = Math.min(surplus, newestLast.filter(isChange).length - most / 2)
  return newestLast.filter((row) => !isChange(row) || changes-- <= 0).slice(-most)
}

function isChange(row: Row): row is ChangeRow {
  return row.kind === 'change'
}

/** How many events a row stands for in the account; gaps are none of those that were sent. */
function events(row: Row): number {
  return row.kind === 'change' ? row.changes.length : row.kind === 'post' ? 1 : 0
}

function sum(rows: readonly Row[]): number {
  return rows.reduce((all, row) => all + events(row), 0)
}
