from metacl_run.layout.cost_words import about_costs
from metacl_run.layout.grid import Cell


def test_the_note_explains_the_columns_that_a_table_has_and_no_other():
    note = about_costs(["units", "seconds"], [[Cell("er"), Cell("30"), Cell("0.7")]])

    assert "Seconds:" in note
    assert "Operations" not in note
    assert "Examples" not in note


def test_a_cost_that_is_not_known_is_explained():
    rows = [[Cell("er"), Cell("1.2e9")], [Cell("sgd"), Cell("-")]]

    assert "100 units" in about_costs(["flops"], rows)
    assert "100 units" not in about_costs(["flops"], rows[:1])
