"""The least that each library can do: connect, read a file, perhaps replace it, close.

Each is a program of its own. It checks the host key and logs in with a key, as anybody would; it
does nothing else that takes time.
"""
