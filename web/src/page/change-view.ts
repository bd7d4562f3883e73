// How changes look: one or two quiet lines between the posts, and a list where one row holds many.

import { html, nothing, type TemplateResult } from 'lit'
import type { Change, ChangeRow } from '../model/change.ts'
import { EVERYTHING, inScope, toHash } from '../model/filter.ts'
import { words } from '../model/words.ts'
import { icons } from './icons.ts'
import { out, when, type Shown } from './row-view.ts'

export function changeView(row: ChangeRow, shown: Shown): TemplateResult {
  const [first, ...others] = row.changes
  const { actor, action, title } = first
  const label = words.changeBy(actor, [action, title, row.scope].filter(Boolean).join(' '), others.length)
  const { open } = shown
  return html`
    <article class="row change" tabindex="-1" data-key=${row.key} data-open=${open ? 'yes' : 'no'} aria-posinset=${shown.at}
      aria-setsize="-1" aria-label=${label}>
      <span class="sign" aria-hidden="true">${icons.change}</span>
      ${did(first, shown.now)}
      <div class="where">
        <span class="source"><bdi>${row.source}</bdi></span>
        ${row.scope ? html`<a class="scope" href=${toHash({ ...EVERYTHING, text: inScope(row.scope) })}><bdi>${row.scope}</bdi></a>` : nothing}
        ${summary(first)}
        ${others.length > 0 || first.long ? html`
          <button class="link" type="button" aria-expanded=${open} @click=${() => shown.reveal(row.key)}>
            ${open ? words.fewer : others.length > 0 ? words.others(others.length) : words.more}
          </button>` : nothing}
      </div>
      ${open && others.length > 0 ? html`
        <ul class="others">${others.toReversed().map((one) => html`<li>${did(one, shown.now)}${summary(one)}</li>`)}</ul>` : nothing}
    </article>
  `
}

/** Who did what, and when. */
function did({ actor, actorUrl, action, title, url, host, at }: Change, now: number): TemplateResult {
  return html`
    <p class="did">
      ${actor ? html`<bdi class="name">${actorUrl ? out(actorUrl, actor) : actor}</bdi>` : nothing}
      ${action ? html`<bdi class="action">${action}</bdi>` : nothing}
      ${title ? html`<span class="title">${url ? out(url, title) : html`<bdi>${title}</bdi>`}</span>` : nothing}
      ${host ? html`<bdi class="host">(${host})</bdi>` : nothing}
      ${when(at, now)}
    </p>
  `
}

function summary(change: Change): TemplateResult | typeof nothing {
  return change.summary ? html`<p class="summary" dir="auto">${change.summary}</p>` : nothing
}
