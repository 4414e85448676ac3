"""A page to try a service in a browser; runs in an environment of its own (scripts/demo.sh).

Only `page` and `__main__` need Gradio.
"""
