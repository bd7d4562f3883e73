// Why the feed stands still. Reading holds it by itself; only the pause button also stops the map.

export type Cause = 'paused' | 'scrolled' | 'focus' | 'selection' | 'hidden'

const RELEASE_MS = 600 // after the last cause ended, so that a passing glance elsewhere changes nothing

export class Hold {
  readonly #causes = new Set<Cause>()
  #ended = -Infinity

  set(cause: Cause, on: boolean, now: number): void {
    if (on) {
      this.#causes.add(cause)
    } else if (this.#causes.delete(cause) && this.#causes.size === 0) {
      // Pressing resume, or coming back to the tab, is meant to take effect at once.
      this.#ended = cause === 'paused' || cause === 'hidden' ? -Infinity : now
    }
  }

  has(cause: Cause): boolean {
    return this.#causes.has(cause)
  }

  get paused(): boolean {
    return this.has('paused')
  }

  holds(now: number): boolean {
    return this.#causes.size > 0 || now - this.#ended < RELEASE_MS
  }

  /** The cause worth telling, the strongest first. */
  get cause(): Cause | undefined {
    return (['paused', 'scrolled', 'focus', 'selection', 'hidden'] as const).find((cause) => this.#causes.has(cause))
  }

  /** Ends every cause but the pause button: the reader asked to see what is new. */
  releaseReading(): void {
    for (const cause of this.#causes) if (cause !== 'paused') this.#causes.delete(cause)
    this.#ended = -Infinity
  }
}
