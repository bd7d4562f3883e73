// One voice for screen readers. They queue what they are told, so a page that tells much drowns its reader.

const EVERY_MS = 15_000

export class Announcer {
  /** What the live region holds. */
  text = ''
  #last = -Infinity
  #next: string | undefined

  /** @param urgent what the reader just did, or loss of the connection: it does not wait its turn. */
  say(text: string, now: number, urgent = false): void {
    if (urgent || now - this.#last >= EVERY_MS) this.#speak(text, now)
    else this.#next = text
  }

  /** Says what had to wait; only the newest of it, the rest is old news. */
  tick(now: number): void {
    if (this.#next !== undefined && now - this.#last >= EVERY_MS) this.#speak(this.#next, now)
  }

  #speak(text: string, now: number): void {
    this.text = text
    this.#last = now
    this.#next = undefined
  }
}
