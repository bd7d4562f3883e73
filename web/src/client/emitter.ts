// Listeners by kind. One that throws is reported and does not stop the others.

export class Emitter<Kinds> {
  readonly #listeners = new Map<keyof Kinds, Set<(value: never) => void>>()

  on<K extends keyof Kinds>(kind: K, listener: (value: Kinds[K]) => void): () => void {
    let set = this.#listeners.get(kind)
    if (!set) this.#listeners.set(kind, (set = new Set()))
    set.add(listener)
    return () => void set.delete(listener)
  }

  emit<K extends keyof Kinds>(kind: K, value: Kinds[K]): void {
    for (const listener of this.#listeners.get(kind) ?? []) {
      try {
        ;(listener as (value: Kinds[K]) => void)(value)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
