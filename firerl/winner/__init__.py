"""The winner: its policy as a function, its episodes on film, its schedule trained again."""
