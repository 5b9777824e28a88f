// The pool of connections, and how values of PostgreSQL look in answers.
import pg from 'pg'

// A day as it is written, and an instant with all of its six digits.
pg.types.setTypeParser(pg.types.builtins.DATE, (text) => text)
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => {
  const fraction = text.slice(20, -'+00'.length)
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction.padEnd(6, '0')}Z`
})

export function openPool () {
  return new pg.Pool({
    max: Number(process.env.POOL_SIZE),
    connectionTimeoutMillis: 2_000,
    statement_timeout: 5_000,
    lock_timeout: 2_000,
    idle_in_transaction_session_timeout: 10_000,
    options: '-c timezone=UTC'
  })
}
