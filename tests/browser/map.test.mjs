// The map and its twin in words.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event, look, shoot } from './page.mjs'

const SEEN = '.blips circle:not([data-step="0"])'

test('blips of real posts appear, and the places are listed', () =>
  look(async (page) => {
    await page.waitForSelector(SEEN)
    await page.waitForSelector('.places li')
    assert.equal(await page.locator('.blips circle').count(), 60)
    await page.waitForFunction(() => /most in/.test(document.querySelector('.map').getAttribute('aria-label')), undefined, { timeout: 15_000 })
  }))

test('a blip stands where its place is: a dot for a point, a ring for an area, none for nowhere', () =>
  look(async (page, relay) => {
    const spot = (post, lat, lon, precision, radius_km, country) =>
      event('geo', `geo.test.${country}`, { lat, lon, precision, radius_km, post })
    relay.events(spot('a', -41.3, 174.8, 'point', 0, 'nz'), spot('b', -10, -52, 'gazetteer', 1500, 'br'), spot('c', 0, 0, 'point', 0, '-'))
    // Real posts have places too, and the map is painted a few times a second: wait for these two, seen together.
    const found = await page.waitForFunction(() => {
      const box = document.querySelector('.map').getBoundingClientRect()
      const blips = [...document.querySelectorAll('.blips circle:not([data-step="0"])')].map((circle) => {
        const { x, y, width, height } = circle.getBoundingClientRect()
        return { area: circle.dataset.area, x: (x + width / 2 - box.x) / box.width, y: (y + height / 2 - box.y) / box.height, r: Number(circle.getAttribute('r')) }
      })
      const near = (x, y, area) => blips.find((blip) => Math.hypot(blip.x - x, blip.y - y) < 0.02 && blip.area === area)
      const [wellington, brazil] = [near(0.927, 0.802, 'no'), near(0.357, 0.578, 'yes')]
      return wellington && brazil?.r > 30 && { nowhere: near(0.5, 0.5, 'no') ?? null }
    })
    assert.equal((await found.jsonValue()).nowhere, null)
    assert.ok(await page.locator('.places li').count())
    await shoot(page, 'map')
  }, { tapped: true }))
