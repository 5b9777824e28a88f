// Idempotency-Key: a repeated POST takes effect once and gets its first answer again, which is
// stored in the transaction of the effect.
import { hash } from 'node:crypto'
import { Problem } from './problems.js'

const LOCK = 'SELECT pg_try_advisory_xact_lock($1) AS locked'
const FIND = `
  SELECT fingerprint, status, headers, body FROM idempotency_keys
  WHERE principal = $1 AND path = $2 AND key = $3 AND expires > now()`
const KEEP = `
  INSERT INTO idempotency_keys (principal, path, key, fingerprint, expires, status, headers, body)
  VALUES ($1, $2, $3, $4, now() + interval '24 hours', $5, $6, $7)
  ON CONFLICT (principal, path, key) DO UPDATE SET fingerprint = excluded.fingerprint,
    expires = excluded.expires, status = excluded.status, headers = excluded.headers, body = excluded.body`
const SWEEP = 'DELETE FROM idempotency_keys WHERE expires <= now()'

export function keyOf (request) {
  const key = request.headers['idempotency-key']
  if (key === undefined) return null
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) {
    const detail = 'Must have 1 to 255 printable ASCII characters.'
    const errors = [{ header: 'Idempotency-Key', code: 'invalid_format', detail }]
    throw new Problem('malformed_header', { errors })
  }
  return [request.principal, request.url.split('?', 1)[0], key]
}

// `create` writes with the client that it gets, and gives status, headers and body.
export async function once (pool, key, values, create) {
  const fingerprint = Buffer.from(hash('sha256', JSON.stringify(Object.entries(values).sort())), 'hex')
  const lock = Buffer.from(hash('sha256', key.join('\0')), 'hex').readBigInt64BE()
  const client = await pool.connect()
  let broken
  try {
    await client.query('BEGIN')
    const { rows: [{ locked }] } = await client.query(LOCK, [lock])
    if (!locked) throw new Problem('idempotency_in_flight', { headers: { 'retry-after': '1' } })
    const { rows: [stored] } = await client.query(FIND, key)
    if (stored !== undefined && !stored.fingerprint.equals(fingerprint)) {
      throw new Problem('idempotency_key_reused')
    }
    const answer = stored ?? await create(client)
    if (stored === undefined) {
      const { status, headers, body } = answer
      await client.query(KEEP, [...key, fingerprint, status, headers, Buffer.from(body)])
    }
    await client.query('COMMIT')
    return { ...answer, replayed: stored !== undefined }
  } catch (error) {
    broken = await client.query('ROLLBACK').then(() => undefined, (fault) => fault)
    throw error
  } finally {
    client.release(broken)
  }
}

export function sweepKeys (app, pool) {
  const timer = setInterval(() => pool.query(SWEEP).catch((error) => app.log.warn(error)), 600_000)
  app.addHook('onClose', async () => clearInterval(timer))
}
