// API keys: their digests are in the database, and those that were found in memory for a while.
import { hash } from 'node:crypto'
import { Problem } from './problems.js'

const KEPT_MS = 30_000
const MOST_KEPT = 10_000
const OPEN = new Set(['/'])
const LIVE = `
  SELECT id, name, scope, extract(epoch FROM expires - now()) * 1000 AS ms_left FROM api_keys
  WHERE digest = $1 AND revoked IS NULL AND (expires IS NULL OR expires > now())`
const USED = 'UPDATE api_keys SET last_used = now() WHERE id = ANY($1::uuid[])'

export function addGuard (app, pool) {
  const known = new Map()
  const used = new Set()

  // Also for keys that are not found, and one statement however many requests ask at once.
  function find (digest) {
    const kept = known.get(digest)
    if (kept !== undefined && kept.until > performance.now()) return kept.found
    const entry = { until: performance.now() + KEPT_MS, found: lookUp(digest) }
    entry.found.then(
      (key) => { if (key?.ms_left != null) entry.until = Math.min(entry.until, performance.now() + Number(key.ms_left)) },
      () => known.delete(digest)
    )
    if (known.size >= MOST_KEPT) known.delete(known.keys().next().value)
    known.set(digest, entry)
    return entry.found
  }

  async function lookUp (digest) {
    const { rows: [key] } = await pool.query(LIVE, [Buffer.from(digest, 'hex')])
    return key === undefined ? null : { ...key, principal: `key:${key.name}` }
  }

  app.decorateRequest('principal', null)
  app.addHook('onRequest', async (request) => {
    if (OPEN.has(request.routeOptions.url)) return
    const [, token] = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
    const key = token === undefined ? null : await find(hash('sha256', token))
    if (key === null) throw new Problem('unauthenticated', { headers: { 'www-authenticate': 'Bearer' } })
    request.principal = key.principal
    used.add(key.id)
    const reads = request.method === 'GET' || request.method === 'HEAD'
    if (!reads && key.scope === 'read') throw new Problem('forbidden')
  })

  const timer = setInterval(() => {
    if (used.size === 0) return
    const ids = [...used]
    used.clear()
    pool.query(USED, [ids]).catch((error) => app.log.warn(error))
  }, 60_000)
  app.addHook('onClose', async () => clearInterval(timer))
}
