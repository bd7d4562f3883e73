// What every element of the page shares: drawn into the page itself, so that find-in-page, styles and assistive
// technology see one document; and a session whose beat tells it when to look again.

import { LitElement } from 'lit'
import type { Session } from './session.ts'

export abstract class View extends LitElement {
  static override properties = { session: { attribute: false } }

  declare session: Session
  readonly #onBeat = () => this.beat()
  #heard: Session | undefined

  override createRenderRoot(): HTMLElement {
    return this
  }

  override willUpdate(): void {
    if (this.#heard === this.session) return
    this.#heard?.removeEventListener('beat', this.#onBeat)
    this.#heard = this.session
    this.#heard.addEventListener('beat', this.#onBeat)
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback()
    this.#heard?.removeEventListener('beat', this.#onBeat)
    this.#heard = undefined
  }

  /** Four times a second; views that seldom change override it. */
  protected beat(): void {
    if (document.visibilityState !== 'hidden') this.requestUpdate()
  }
}
