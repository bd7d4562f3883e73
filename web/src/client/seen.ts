// Which events a subscription has had already: after a reconnect the relay may repeat the last ones.

const MOST = 4096 // ids kept, the oldest go first; a resume repeats far fewer

export class Seen {
  readonly #ids = new Set<string>()

  /** Whether it is new; from now on it is not. */
  add(source: string, id: string): boolean {
    const key = `${source}#${id}`
    if (this.#ids.has(key)) return false
    this.#ids.add(key)
    if (this.#ids.size > MOST) this.#ids.delete(this.#ids.values().next().value as string)
    return true
  }

  get size(): number {
    return this.#ids.size
  }
}
