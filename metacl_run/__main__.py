from metacl_run.cli import main

main()
