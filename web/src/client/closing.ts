// What a websocket close code tells the client to do.

export type Verdict = 'final' | 'token' | 'slow' | 'restart' | 'retry'

export function verdict(code: number): Verdict {
  if (code === 4001) return 'token'
  // 1009: a frame of ours is larger than the relay takes, and would be so again.
  if (code === 1009 || (code >= 4000 && code < 4100)) return 'final'
  if (code >= 4100 && code < 4200) return 'slow'
  if (code === 1012 || code === 1013 || (code >= 4200 && code < 4300)) return 'restart'
  return 'retry'
}

const SAID: Readonly<Record<number, string>> = {
  1006: 'the connection was lost',
  1009: 'what this page asked for is larger than the relay takes',
  1012: 'the relay is restarting',
  4000: 'the relay did not understand this page',
  4001: 'the token was not accepted',
  4003: 'this page may not connect to the relay',
  4009: 'the relay has no room for this connection',
  4010: 'this page is out of date; reload it',
  4108: 'this connection was too slow',
  4129: 'too many requests',
  4200: 'the relay lost its state',
}

export function said(code: number, reason: string): string {
  return SAID[code] ?? (reason || 'the connection was closed')
}
