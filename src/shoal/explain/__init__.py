"""Why this item, why this segment: what events carry, checked by changing the past and asking again."""
