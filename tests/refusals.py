"""Tables that refuse writes for a while, as they do because of other transactions."""

AT_ONCE = "TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {table}"
AT_COMMIT = (
    "CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " DEFERRABLE INITIALLY DEFERRED"
)
COUNT = "SELECT last_value FROM refusals"


def refusals(
    table: str, times: int = 3, sqlstate: str = "40001", timing: str = AT_ONCE
) -> tuple[str, ...]:
    """Statements that make a table refuse the next writes, so many times.

    timing: of the trigger that does it. The sequence `refusals` counts all attempts.
    """
    function = (
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('refusals') <= {times} THEN"
        f" RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF;"
        " RETURN COALESCE(NEW, OLD); END $$"
    )
    return (
        "CREATE SEQUENCE IF NOT EXISTS refusals",  # no rollback takes its numbers back
        "ALTER SEQUENCE refusals RESTART",
        function,
        f"DROP TRIGGER IF EXISTS refuse ON {table}",
        f"CREATE {timing.format(table=table)} FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
