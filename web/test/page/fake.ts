// A connection that tests speak for.

import type { CloudEvent, Gap, Live, State } from '../../src/client/client.d.ts'
import { Emitter } from '../../src/client/emitter.ts'
import { Session } from '../../src/page/session.ts'

export class FakeLive {
  state: State = { name: 'connecting', since: 0, tries: 0 }
  readonly #all = new Emitter<Record<string, never>>()
  on = (kind: string, listener: (value: never) => void): (() => void) => this.#all.on(kind, listener)
  subscribe = (): this => this
  close(): void {}

  events(...events: CloudEvent[]): void {
    for (const event of events) this.#all.emit('event', event as never)
  }

  gap(gap: Gap): void {
    this.#all.emit('gap', gap as never)
  }

  enter(...names: State['name'][]): void {
    for (const name of names) this.#all.emit('state', (this.state = { name, since: Date.now(), tries: 0 }) as never)
  }
}

export function sessionOf(): { live: FakeLive; session: Session } {
  const live = new FakeLive()
  return { live, session: new Session(live as unknown as Live) }
}
