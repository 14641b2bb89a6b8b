from metacl_run.comparison.report_cli import main

main()
