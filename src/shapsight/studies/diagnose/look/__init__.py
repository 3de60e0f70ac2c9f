"""Where does it look?"""
