// All that conf/live.toml names, on the page at once: posts and changes, and every source in the list with its age.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faults, look, rows, shoot } from './page.mjs'

const SOURCES = process.env.STREAMER_SOURCES.split(' ')

test('every source is on the page', () =>
  look(async (page) => {
    await rows(page, 3)
    await page.waitForFunction((names) => {
      const listed = [...document.querySelectorAll('source-list a')].map(({ textContent }) => textContent)
      return names.every((name) => listed.some((text) => text.includes(name)))
    }, SOURCES, { timeout: 60_000 })
    await page.locator('article.change').first().waitFor()
    for (const name of SOURCES) {
      const link = page.locator('source-list a', { hasText: name })
      assert.match(await link.getAttribute('href'), new RegExp(`[?&]src=${name}$`))
    }
    await shoot(page, 'live')
    assert.deepEqual(await faults(page), [])
    await page.setViewportSize({ width: 360, height: 740 })
    await shoot(page, 'live-phone')
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.setViewportSize({ width: 1280, height: 800 })
    await shoot(page, 'live-dark')
  }))
