// One voice for screen readers. They queue what they are told, so a page that tells much drowns its reader.

const EVERY_MS = 15_000
const HEARD_MS = 2_000 // until then what was said may not have been spoken

/**
 * - `urgent`: what the reader just did, loss of the connection and its end: does not wait its turn
 * - `loss`: posts are missing: waits its turn, and no news takes its place
 * - `news`: the rest
 */
export type Rank = 'urgent' | 'loss' | 'news'

export class Announcer {
  /** What the live region holds. */
  text = ''
  #last = -Infinity
  /** The newest loss that may not have been heard yet. */
  #loss: string | undefined
  #next: string | undefined

  say(text: string, now: number, rank: Rank = 'news'): void {
    if (rank === 'urgent') return this.#speak(this.#unheard(now) ? `${text}. ${this.#loss}` : text, now)
    if (rank === 'loss') this.#loss = text
    else if (this.#next !== undefined && this.#next === this.#loss) return
    if (now - this.#last >= EVERY_MS) this.#speak(text, now)
    else this.#next = text
  }

  /** Says what had to wait; only the newest of it, the rest is old news. */
  tick(now: number): void {
    if (this.#next !== undefined && now - this.#last >= EVERY_MS) this.#speak(this.#next, now)
  }

  /** A loss waits, or what is said now would cut it short. */
  #unheard(now: number): boolean {
    if (this.#loss === undefined) return false
    return this.#next === this.#loss || (this.text.endsWith(this.#loss) && now - this.#last < HEARD_MS)
  }

  #speak(text: string, now: number): void {
    this.text = text
    this.#last = now
    this.#next = undefined
  }
}
