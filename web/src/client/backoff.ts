// How long to wait before the next try: exponential with full jitter, so that the clients of a restarted relay
// do not come back as one wave.

const FIRST_MS = 500
const MOST_MS = 20_000

export class Backoff {
  #tries = 0

  get tries(): number {
    return this.#tries
  }

  /**
   * The wait before the next try, in ms.
   *
   * @param pace `restart` spreads the first tries wider, `slow` also waits a while in any case: the relay
   *   asked for it.
   */
  next(pace: 'retry' | 'restart' | 'slow' = 'retry'): number {
    const least = pace === 'slow' ? 4 : pace === 'restart' ? 2 : 0
    const window = Math.min(MOST_MS, FIRST_MS * 2 ** Math.max(this.#tries, least))
    this.#tries++
    const floor = pace === 'slow' ? window / 2 : 0
    return floor + Math.random() * (window - floor)
  }

  reset(): void {
    this.#tries = 0
  }
}
