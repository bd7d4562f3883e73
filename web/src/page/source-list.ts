// What is on the page: every source, what it sends, and when something last came of it.

import { html, type TemplateResult } from 'lit'
import { EVERYTHING, toHash } from '../model/filter.ts'
import { words } from '../model/words.ts'
import { View } from './view.ts'

const EVERY_MS = 2_000 // as the places: what changes faster cannot be read

export class SourceList extends View {
  #drawn = -Infinity

  protected override beat(): void {
    const now = Date.now()
    const empty = this.querySelector('.sources') === null
    if (this.session.still || (!empty && now - this.#drawn < EVERY_MS)) return
    this.#drawn = now
    super.beat()
  }

  override render(): TemplateResult {
    const now = Date.now()
    const { listed } = this.session.sources
    return html`
      <h2 id="sources-title">${words.sources} <small>${words.sourcesAge}</small></h2>
      ${listed.length === 0 ? html`<p class="empty">${words.noSources}</p>` : html`
        <ul class="sources" aria-labelledby="sources-title">
          ${listed.map(({ name, posts, changes, at }) => html`
            <li><a href=${toHash({ ...EVERYTHING, source: name })}><bdi>${name}</bdi></a>
              <span class="sends">${words.sends(posts, changes)}</span>
              <span class="number">${words.lastCame(now - at)}</span></li>`)}
        </ul>`}
    `
  }
}

customElements.define('source-list', SourceList)
