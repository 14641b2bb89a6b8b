from metacl_run.comparison.cli import main

main()
