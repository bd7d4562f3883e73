// The public face of the client; see client.d.ts.

import type * as published from './client.d.ts'
import { Connection } from './live.ts'
import { matches } from './topics.ts'

export type * from './client.d.ts'
export { matches }

export function connect(url: string | URL, options: published.Options = {}): published.Live {
  const base = globalThis.location?.href
  const target = new URL(url, base)
  target.protocol = target.protocol.replace(/^http/, 'ws')
  return new Connection(target.href, options)
}

// The published description and the code must not drift apart; this line does not compile if they do.
export type Checked = [typeof connect extends typeof published.connect ? true : never]
