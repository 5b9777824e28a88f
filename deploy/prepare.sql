-- May run again. The time limits are those of Satchel's settings: behind PgBouncer, connections
-- cannot have their own.
\getenv password SATCHEL_PASSWORD
SELECT 'CREATE ROLE satchel LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'satchel') \gexec
ALTER ROLE satchel PASSWORD :'password';
ALTER ROLE satchel SET statement_timeout = '5s';
ALTER ROLE satchel SET lock_timeout = '2s';
ALTER ROLE satchel SET idle_in_transaction_session_timeout = '10s';
SELECT 'CREATE DATABASE satchel OWNER satchel' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'satchel') \gexec
