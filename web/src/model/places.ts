// Where posts came from in the last ten minutes, by country: the map for those who do not see it.

const BUCKETS = 10
const BUCKET_MS = 60_000
export const WINDOW_MS = BUCKETS * BUCKET_MS

export interface Place {
  /** ISO 3166-1 alpha-2; empty for the sea and for what is not known. */
  readonly country: string
  readonly count: number
}

export class Places {
  /** Counts by minute; never more than `BUCKETS` of them. */
  readonly #minutes = new Map<number, Map<string, number>>()

  /** @param at when it was posted, ms since the epoch; history comes in any order. */
  add(country: string, at: number, now = at): void {
    this.#forget(now)
    const minute = Math.floor(Math.min(at, now) / BUCKET_MS)
    if (minute <= oldest(now)) return
    let counts = this.#minutes.get(minute)
    if (!counts) this.#minutes.set(minute, (counts = new Map()))
    counts.set(country, (counts.get(country) ?? 0) + 1)
  }

  /** All of them, the most frequent first. */
  ranked(now: number): Place[] {
    this.#forget(now)
    const sums = new Map<string, number>()
    for (const counts of this.#minutes.values()) {
      for (const [country, count] of counts) sums.set(country, (sums.get(country) ?? 0) + count)
    }
    return [...sums]
      .map(([country, count]) => ({ country, count }))
      .sort((a, b) => b.count - a.count || a.country.localeCompare(b.country))
  }

  #forget(now: number): void {
    for (const minute of this.#minutes.keys()) if (minute <= oldest(now)) this.#minutes.delete(minute)
  }
}

/** The last minute that no longer counts. */
function oldest(now: number): number {
  return Math.floor(now / BUCKET_MS) - BUCKETS
}
