declare module 'virtual:land' {
  /** The world's land as one SVG path in the map's own coordinates. */
  export const LAND: string
}
