"""From ``quorate.yaml`` to what workers serve: checked, compared, resolved, published."""
