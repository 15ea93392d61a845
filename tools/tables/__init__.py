"""What makes each table of README, REPRODUCTION and docs, by its name."""

from tools.tables import galvan, pairs, pascanu, price, reach, records, rivals, text

TABLES = {
    **pascanu.TABLES,
    **galvan.TABLES,
    **rivals.TABLES,
    **price.TABLES,
    **reach.TABLES,
    **pairs.TABLES,
    **records.TABLES,
    **text.TABLES,
}
