// What the relay says about itself, so that one build of this page fits every deployment.

export interface Config {
  readonly title: string
  /** Address of the websocket, relative to the page. */
  readonly ws: string
  /** The relay's clock, from the answer's Date header. */
  readonly date: string | null
}

const DEFAULTS: Config = { title: 'Streamer', ws: 'ws', date: null }

export async function loadConfig(): Promise<Config> {
  try {
    const answer = await fetch('config.json', { cache: 'no-store', credentials: 'same-origin' })
    if (!answer.ok) return DEFAULTS
    const said = (await answer.json()) as { title?: unknown; ws?: unknown }
    return {
      title: typeof said.title === 'string' && said.title ? said.title : DEFAULTS.title,
      ws: typeof said.ws === 'string' && said.ws ? said.ws : DEFAULTS.ws,
      date: answer.headers.get('date'),
    }
  } catch {
    return DEFAULTS // no network yet, or no such file: the websocket will tell
  }
}
