// The reader's choices, kept in this browser only.

import { FLOWS, type FlowName } from '../model/flow.ts'

export type Theme = 'auto' | 'light' | 'dark'

const THEMES: readonly Theme[] = ['auto', 'light', 'dark']

/** Asked for anew each time: where storage is forbidden, already naming it throws. */
type Where = () => Storage

const browser: Where = () => localStorage
const tab: Where = () => sessionStorage

export class Prefs {
  /** What was chosen on this page; it holds also where nothing may be stored. */
  readonly #chosen = new Map<string, string>()

  get theme(): Theme {
    return THEMES.find((theme) => theme === this.#read(browser, 'theme')) ?? 'auto'
  }

  nextTheme(): Theme {
    const theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] as Theme
    this.#write(browser, 'theme', theme)
    return theme
  }

  get flow(): FlowName {
    return FLOWS.find((flow) => flow === this.#read(browser, 'flow')) ?? 'calm'
  }

  set flow(flow: FlowName) {
    this.#write(browser, 'flow', flow)
  }

  get keyboard(): boolean {
    return this.#read(browser, 'keyboard') !== 'off'
  }

  set keyboard(on: boolean) {
    this.#write(browser, 'keyboard', on ? 'on' : 'off')
  }

  /** Survives a reload of this tab, and only that. */
  get paused(): boolean {
    return this.#read(tab, 'paused') === 'yes'
  }

  set paused(on: boolean) {
    this.#write(tab, 'paused', on ? 'yes' : 'no')
  }

  #read(where: Where, key: string): string | null {
    const chosen = this.#chosen.get(key)
    if (chosen !== undefined) return chosen
    try {
      return where().getItem(`streamer ${key}`)
    } catch {
      return null // forbidden by the browser's settings
    }
  }

  #write(where: Where, key: string, value: string): void {
    this.#chosen.set(key, value)
    try {
      where().setItem(`streamer ${key}`, value)
    } catch {
      // Full or forbidden: the choice then lasts as long as the page.
    }
  }
}
