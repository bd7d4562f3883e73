// Who is shown where not all can be: a loud source must not drown the others.

const MOST_NAMES = 100 // remembered; far more sources than one page has

/** Takes turns between names, also from one call to the next: who was served longest ago comes first. */
export class Turns {
  readonly #served = new Set<string>() // the last one served at the end

  /** `count` of the rows, of each name the newest first; in the order they came in. */
  take<T>(newestFirst: readonly T[], count: number, nameOf: (row: T) => string): T[] {
    if (newestFirst.length <= count) return [...newestFirst]
    const byName = Map.groupBy(newestFirst, nameOf)
    const past = [...this.#served]
    const order = [...byName].sort(([one], [other]) => past.indexOf(one) - past.indexOf(other))
    const chosen = new Set<T>()
    for (let round = 0; chosen.size < count; round++) {
      for (const [name, rows] of order) {
        const row = rows[round]
        if (!row || chosen.size >= count) continue
        chosen.add(row)
        this.#remember(name)
      }
    }
    return newestFirst.filter((row) => chosen.has(row))
  }

  #remember(name: string): void {
    this.#served.delete(name)
    this.#served.add(name)
    if (this.#served.size > MOST_NAMES) this.#served.delete(this.#served.values().next().value as string)
  }
}
