// Which sources are on the page, what they send, and when something came of each.

const MOST_NAMES = 40 // offered in the menu and listed

export interface Known {
  readonly name: string
  readonly posts: boolean
  readonly changes: boolean
  /** When the newest of it came in, ms since the epoch. */
  readonly at: number
}

export class Sources {
  readonly #all = new Map<string, Known>()

  see(name: string, kind: 'post' | 'change', at: number): void {
    const known = this.#all.get(name)
    if (!known && this.#all.size >= MOST_NAMES) return
    this.#all.set(name, {
      name, posts: kind === 'post' || known?.posts === true, changes: kind === 'change' || known?.changes === true,
      at: Math.max(at, known?.at ?? -Infinity),
    })
  }

  get names(): string[] {
    return [...this.#all.keys()]
  }

  /** In the order of their names, which does not change while it is read. */
  get listed(): Known[] {
    return [...this.#all.values()].sort((one, other) => one.name.localeCompare(other.name))
  }

  /** Whether posts are not all there is. */
  get changing(): boolean {
    return [...this.#all.values()].some(({ changes }) => changes)
  }
}
