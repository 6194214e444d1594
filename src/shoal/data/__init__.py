"""Files and public formats become checked tables; hold-outs that refuse leakage; planted worlds."""
