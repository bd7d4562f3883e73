// Where posts came from in the last ten minutes, by country: the map for those who do not see it.

const BUCKETS = 10
const BUCKET_MS = 60_000

export interface Place {
  /** ISO 3166-1 alpha-2; empty for the sea and for what is not known. */
  readonly country: string
  readonly count: number
}

export class Places {
  readonly #buckets: { readonly minute: number; readonly counts: Map<string, number> }[] = []

  add(country: string, now: number): void {
    const minute = Math.floor(now / BUCKET_MS)
    let bucket = this.#buckets.at(-1)
    if (bucket?.minute !== minute) {
      this.#buckets.push((bucket = { minute, counts: new Map() }))
      if (this.#buckets.length > BUCKETS) this.#buckets.shift()
    }
    bucket.counts.set(country, (bucket.counts.get(country) ?? 0) + 1)
  }

  /** All of them, the most frequent first. */
  ranked(now: number): Place[] {
    const oldest = Math.floor(now / BUCKET_MS) - BUCKETS
    const sums = new Map<string, number>()
    for (const { minute, counts } of this.#buckets) {
      if (minute <= oldest) continue
      for (const [country, count] of counts) sums.set(country, (sums.get(country) ?? 0) + count)
    }
    return [...sums]
      .map(([country, count]) => ({ country, count }))
      .sort((a, b) => b.count - a.count || a.country.localeCompare(b.country))
  }
}
