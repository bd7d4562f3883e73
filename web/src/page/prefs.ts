// The reader's choices, kept in this browser only.

import { FLOWS, type FlowName } from '../model/flow.ts'

export type Theme = 'auto' | 'light' | 'dark'

const THEMES: readonly Theme[] = ['auto', 'light', 'dark']

export class Prefs {
  get theme(): Theme {
    return THEMES.find((theme) => theme === read(localStorage, 'theme')) ?? 'auto'
  }

  nextTheme(): Theme {
    const theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] as Theme
    write(localStorage, 'theme', theme)
    return theme
  }

  get flow(): FlowName {
    return FLOWS.find((flow) => flow === read(localStorage, 'flow')) ?? 'calm'
  }

  set flow(flow: FlowName) {
    write(localStorage, 'flow', flow)
  }

  get keyboard(): boolean {
    return read(localStorage, 'keyboard') !== 'off'
  }

  set keyboard(on: boolean) {
    write(localStorage, 'keyboard', on ? 'on' : 'off')
  }

  /** Survives a reload of this tab, and only that. */
  get paused(): boolean {
    return read(sessionStorage, 'paused') === 'yes'
  }

  set paused(on: boolean) {
    write(sessionStorage, 'paused', on ? 'yes' : 'no')
  }
}

function read(storage: Storage, key: string): string | null {
  try {
    return storage.getItem(`streamer ${key}`)
  } catch {
    return null // forbidden by the browser's settings: the choice then lasts as long as the page
  }
}

function write(storage: Storage, key: string, value: string): void {
  try {
    storage.setItem(`streamer ${key}`, value)
  } catch {
    // As above.
  }
}
